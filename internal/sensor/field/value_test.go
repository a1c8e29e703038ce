package field_test

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// anyValue calls whatever getter the extractor has. Several values are joined
// by commas; where a field has both, several come first.
func anyValue(x field.Extractor, c *field.Context) (string, bool) {
	var list []string
	add := func(s string) bool { list = append(list, s); return true }
	switch {
	case x.Match != field.One && x.Each != nil:
		ok := x.Each(c, add)
		return strings.Join(list, ","), ok
	case x.Match != field.One && x.EachInt != nil:
		ok := x.EachInt(c, func(n int64) bool { return add(strconv.FormatInt(n, 10)) })
		return strings.Join(list, ","), ok
	case x.Match != field.One && x.EachUint != nil:
		ok := x.EachUint(c, func(n uint64) bool { return add(strconv.FormatUint(n, 10)) })
		return strings.Join(list, ","), ok
	case x.Match != field.One && x.EachIP != nil:
		ok := x.EachIP(c, func(a netip.Addr) bool { return add(a.String()) })
		return strings.Join(list, ","), ok
	case x.Str != nil:
		s, ok := x.Str(c)
		return strings.Clone(s), ok
	case x.Int != nil:
		n, ok := x.Int(c)
		return strconv.FormatInt(n, 10), ok
	case x.Uint != nil && x.Type == field.Bool:
		n, ok := x.Uint(c)
		return strconv.FormatBool(n == 1), ok
	case x.Uint != nil:
		n, ok := x.Uint(c)
		return strconv.FormatUint(n, 10), ok
	case x.Double != nil:
		d, ok := x.Double(c)
		return strconv.FormatFloat(d, 'g', -1, 64), ok
	case x.IP != nil:
		a, ok := x.IP(c)
		return a.String(), ok
	}
	panic("extractor without a getter")
}
