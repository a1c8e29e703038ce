package field

// staticFields are the texts of the configuration's static_fields.
func staticFields() []Field {
	return []Field{{
		Name: "static", Type: String, Stage: AtLoad, Arg: ArgRequired, dotted: true,
		Doc: "Text from static_fields in the configuration, as in static.cluster.",
		Bind: func(key string) (Extractor, error) {
			return Extractor{Type: String, Stage: AtLoad, Str: func(c *Context) (string, bool) {
				s, ok := c.static().StaticFields[key]
				return s, ok
			}}, nil
		},
	}}
}
