package field

import (
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
)

// jsonFields are those of Falco's plugin json, under both their names.
func jsonFields() []Field {
	var fields []Field
	for _, class := range []string{"jevt", "json"} {
		fields = append(fields,
			Field{
				Name: class + ".value", Type: String, Stage: AtEvent, Arg: ArgRequired, Bind: bindPointer,
				Doc: "Value at a JSON pointer (RFC 6901), as in " + class + ".value[/requestObject/spec/type].",
			},
			str(class+".obj", AtEvent, "The whole event as JSON on several lines.", func(c *Context) (string, bool) {
				if c.Record == nil {
					return "", false
				}
				return c.keep(c.Record.Body.AppendIndented(c.buf)), true
			}),
			str(class+".rawtime", AtEvent, "Time of the event in ns since the epoch, as text.", func(c *Context) (string, bool) {
				return c.keep(strconv.AppendUint(c.buf, c.Time, 10)), true
			}))
	}
	return fields
}

func bindPointer(arg string) (Extractor, error) {
	p := jsontext.ParsePointer(arg)
	return Extractor{Type: String, Stage: AtEvent, Str: func(c *Context) (string, bool) {
		if c.Record == nil {
			return "", false
		}
		v := c.Record.Follow(p)
		if v.Kind() == jsontext.Null {
			return "null", true
		}
		return c.jsonText(v)
	}}, nil
}
