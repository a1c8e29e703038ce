package record

import (
	"errors"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
)

// Part is a part of an audit event whose place is known once it was indexed.
type Part uint8

// The parts (audit.k8s.io/v1, Event).
const (
	AuditID Part = iota
	Stage
	StageTimestamp
	Verb
	RequestURI
	UserAgent
	User
	ImpersonatedUser
	SourceIPs
	ObjectRef
	ResponseStatus
	RequestObject
	ResponseObject
	Annotations
	topLevel

	UserName Part = iota - 1
	UserGroups
	ImpersonatedName
	Resource
	Subresource
	Namespace
	Name
	ResponseCode
	ResponseReason
	numParts
)

var topLevelNames = [topLevel]string{
	AuditID: "auditID", Stage: "stage", StageTimestamp: "stageTimestamp", Verb: "verb", RequestURI: "requestURI",
	UserAgent: "userAgent", User: "user", ImpersonatedUser: "impersonatedUser", SourceIPs: "sourceIPs",
	ObjectRef: "objectRef", ResponseStatus: "responseStatus", RequestObject: "requestObject",
	ResponseObject: "responseObject", Annotations: "annotations",
}

// partOf returns the part of the key, within the part that the object is;
// numParts stands for neither.
func partOf(object Part, key string) Part {
	switch object {
	case numParts:
		for p, name := range topLevelNames {
			if key == name {
				return Part(p)
			}
		}
	case User:
		switch key {
		case "username":
			return UserName
		case "groups":
			return UserGroups
		}
	case ImpersonatedUser:
		if key == "username" {
			return ImpersonatedName
		}
	case ObjectRef:
		switch key {
		case "resource":
			return Resource
		case "subresource":
			return Subresource
		case "namespace":
			return Namespace
		case "name":
			return Name
		}
	case ResponseStatus:
		switch key {
		case "code":
			return ResponseCode
		case "reason":
			return ResponseReason
		}
	}
	return numParts
}

// Record is one audit event. Its values are valid as long as the body that it
// is part of.
type Record struct {
	Time  uint64 // stageTimestamp, in ns since the epoch
	Body  jsontext.Value
	parts [numParts]span
}

type span struct{ from, to uint32 }

// Part returns a part of the event; nil if it is not there.
func (r *Record) Part(p Part) jsontext.Value {
	at := r.parts[p]
	if at.from == at.to {
		return nil
	}
	return r.Body[at.from:at.to]
}

// Follow returns the value at the pointer; nil if absent.
func (r *Record) Follow(p jsontext.Pointer) jsontext.Value {
	if len(p) == 0 {
		return r.Body
	}
	if part := partOf(numParts, p[0].Key); part != numParts {
		return r.Part(part).Follow(p[1:])
	}
	return r.Body.Follow(p)
}

// index checks the object at b[at:] and notes its parts. It returns its end.
func (r *Record) index(b []byte, at, depth int) (int, error) {
	*r = Record{}
	end, err := r.object(b, at, at, depth, numParts)
	if err == nil {
		r.Body = b[at:end]
	}
	return end, err
}

// object notes the parts of the object at i, as offsets from start.
func (r *Record) object(b []byte, i, start, depth int, object Part) (int, error) {
	return jsontext.CheckObject(b, i, depth, func(key jsontext.Value, at int) (int, error) {
		var part Part
		if text, ok := key.Plain(); ok {
			part = partOf(object, text)
		} else {
			part = partOf(object, string(key.AppendText(nil)))
		}
		r.forget(part) // drop the parts of an earlier member with the same key
		var end int
		var err error
		if at < len(b) && b[at] == '{' && hasParts(part) {
			end, err = r.object(b, at, start, depth+1, part)
		} else {
			end, err = jsontext.Check(b, at, depth+1)
		}
		if part != numParts && err == nil {
			r.parts[part] = span{uint32(at - start), uint32(end - start)}
		}
		return end, err
	})
}

func hasParts(p Part) bool {
	return p == User || p == ImpersonatedUser || p == ObjectRef || p == ResponseStatus
}

// forget drops the index of the parts within p.
func (r *Record) forget(p Part) {
	switch p {
	case User:
		r.parts[UserName], r.parts[UserGroups] = span{}, span{}
	case ImpersonatedUser:
		r.parts[ImpersonatedName] = span{}
	case ObjectRef:
		r.parts[Resource], r.parts[Subresource], r.parts[Namespace], r.parts[Name] = span{}, span{}, span{}, span{}
	case ResponseStatus:
		r.parts[ResponseCode], r.parts[ResponseReason] = span{}, span{}
	}
}

// finish reads the members that every event must have.
func (r *Record) finish() error {
	text, ok := r.Part(StageTimestamp).Plain()
	if !ok {
		return errors.New("no stageTimestamp, which says when the event happened")
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("stageTimestamp %q: expected a time as in RFC 3339", text)
	}
	if r.Time = uint64(t.UnixNano()); t.Before(time.Unix(0, 0)) || t.Year() > 2261 {
		return fmt.Errorf("stageTimestamp %q: no time of this epoch", text)
	}
	return nil
}
