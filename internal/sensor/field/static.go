package field

// staticFields are the texts of the configuration's static_fields.
func staticFields() []Field {
	return []Field{
		argField("static", AtLoad, "Text from static_fields in the configuration, as in static.cluster.", func(c *Context, key string) (string, bool) {
			s, ok := c.static().StaticFields[key]
			return s, ok
		}).afterDot(),
	}
}
