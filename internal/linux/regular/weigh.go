package regular

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

const (
	// maxMemory bounds the memory of a result once it is read. Those of many hours
	// take some tens of megabytes.
	maxMemory = 256 << 20
	// maxDepth is the most levels that encoding/json decodes. Its Decoder.Token,
	// which scale calls, has no limit.
	maxDepth = 10_000
)

var (
	errHeavy = errors.New("takes more than 256 MiB of memory: too large for a result")
	errDeep  = errors.New("nests lists and objects more than 10,000 levels deep: not a result")
)

// scale weighs JSON before it is read: a few bytes may stand for much memory, as
// "{}" does in a list of large structs.
type scale struct {
	in    *json.Decoder
	left  int // bytes that may still come
	depth int // lists and objects that are open
}

// take weighs the next value, which is read as a t; nil is one that is not read.
func (s *scale) take(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
		s.left -= int(t.Size())
	}
	token, err := s.in.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case string:
		s.left -= len(token)
	case json.Delim:
		if s.depth++; s.depth > maxDepth {
			return errDeep
		}
		for s.in.More() {
			if s.left < 0 {
				return errHeavy
			}
			if err := s.part(token, t); err != nil {
				return err
			}
		}
		s.depth--
		_, err = s.in.Token()
	}
	if s.left < 0 {
		return errHeavy
	}
	return err
}

// part weighs an element of a list, or a member of an object.
func (s *scale) part(of json.Delim, t reflect.Type) error {
	if of == '[' {
		return s.take(s.element(t, reflect.Slice))
	}
	key, err := s.in.Token()
	if err != nil {
		return err
	}
	name, _ := key.(string)
	s.left -= len(name)
	if t != nil && t.Kind() == reflect.Struct {
		return s.take(member(t, name))
	}
	return s.take(s.element(t, reflect.Map))
}

// element returns the element type of a list or map, and adds its size.
func (s *scale) element(t reflect.Type, kind reflect.Kind) reflect.Type {
	if t == nil || t.Kind() != kind {
		return nil
	}
	s.left -= int(t.Elem().Size())
	return t.Elem()
}

// member is the type of the field that encoding/json reads a key into; nil: none.
func member(t reflect.Type, key string) reflect.Type {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				if found := member(inner, key); found != nil {
					return found
				}
				continue
			}
		}
		if name == "" {
			name = f.Name
		}
		if strings.EqualFold(name, key) {
			return f.Type
		}
	}
	return nil
}
