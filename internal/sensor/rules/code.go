package rules

// Code names a kind of error or warning, as Falco does.
type Code string

// Errors.
const (
	ErrFileRead         Code = "LOAD_ERR_FILE_READ"
	ErrYAMLParse        Code = "LOAD_ERR_YAML_PARSE"
	ErrYAMLValidate     Code = "LOAD_ERR_YAML_VALIDATE"
	ErrCompileCondition Code = "LOAD_ERR_COMPILE_CONDITION"
	ErrCompileOutput    Code = "LOAD_ERR_COMPILE_OUTPUT"
	ErrValidate         Code = "LOAD_ERR_VALIDATE"
)

// Warnings.
const (
	WarnUnknownSource      Code = "LOAD_UNKNOWN_SOURCE"
	WarnUnsafeNA           Code = "LOAD_UNSAFE_NA_CHECK"
	WarnNoEventType        Code = "LOAD_NO_EVTTYPE"
	WarnUnknownFilter      Code = "LOAD_UNKNOWN_FILTER"
	WarnUnusedMacro        Code = "LOAD_UNUSED_MACRO"
	WarnUnusedList         Code = "LOAD_UNUSED_LIST"
	WarnUnknownItem        Code = "LOAD_UNKNOWN_ITEM"
	WarnDeprecatedItem     Code = "LOAD_DEPRECATED_ITEM"
	WarnAppendNoValues     Code = "LOAD_APPEND_NO_VALUES"
	WarnExceptionNotUnique Code = "LOAD_EXCEPTION_NAME_NOT_UNIQUE"
	WarnMacroName          Code = "LOAD_INVALID_MACRO_NAME"
	WarnListName           Code = "LOAD_INVALID_LIST_NAME"
	WarnCompileCondition   Code = "LOAD_COMPILE_CONDITION"
	WarnUnknownKey         Code = "LOAD_UNKNOWN_KEY"
)

// short is the text in parentheses after a code, and, for errors, codedesc in
// JSON.
var short = map[Code]string{
	ErrFileRead:         "File read error",
	ErrYAMLParse:        "YAML parse error",
	ErrYAMLValidate:     "Error validating internal structure of YAML file",
	ErrCompileCondition: "Error compiling condition",
	ErrCompileOutput:    "Error compiling output",
	ErrValidate:         "Error validating rule/macro/list/exception objects",

	WarnUnknownSource:      "Unknown event source",
	WarnUnsafeNA:           "Unsafe <NA> comparison in condition",
	WarnNoEventType:        "Condition has no event-type restriction",
	WarnUnknownFilter:      "Unknown field or event-type in condition or output",
	WarnUnusedMacro:        "Unused macro",
	WarnUnusedList:         "Unused list",
	WarnUnknownItem:        "Unknown rules file item",
	WarnDeprecatedItem:     "Used deprecated item",
	WarnAppendNoValues:     "Overriding/appending with no values",
	WarnExceptionNotUnique: "Multiple exceptions defined with the same name",
	WarnMacroName:          "Invalid macro name",
	WarnListName:           "Invalid list name",
	WarnCompileCondition:   "Warning in rule condition",
	WarnUnknownKey:         "Unknown key in rules file item",
}

// Short is the code's meaning in a few words.
func (c Code) Short() string { return short[c] }

// long are the meanings of warnings as JSON's codedesc has them.
var long = map[Code]string{
	WarnUnknownSource:      "The rule's event source is not one that this sensor has. The rule is not loaded.",
	WarnUnsafeNA:           "Comparing a value with <NA> does not tell whether it is missing. Use the operator 'exists'.",
	WarnNoEventType:        "The condition can be true for too many kinds of events and is evaluated for all of them. Restrict it with evt.type.",
	WarnUnknownFilter:      "The condition or output names a field or event type that does not exist. It has skip-if-unknown-filter, so that the rule is left out.",
	WarnUnusedMacro:        "No rule and no other macro uses the macro.",
	WarnUnusedList:         "No rule, macro or other list uses the list.",
	WarnUnknownItem:        "The item is unknown and is ignored.",
	WarnDeprecatedItem:     "The item uses a form or a field that will go.",
	WarnAppendNoValues:     "An exception is appended to without any values.",
	WarnExceptionNotUnique: "A rule has several exceptions of one name.",
	WarnMacroName:          "The macro has a name that conditions cannot refer to.",
	WarnListName:           "The list has a name that conditions cannot refer to.",
	WarnCompileCondition:   "The condition is valid, but may not mean what it seems to.",
	WarnUnknownKey:         "The item has a key that means nothing. It is ignored.",
}

func (c Code) describe() string {
	if text, ok := long[c]; ok {
		return text
	}
	return short[c]
}
