package probes

import "slices"

// KindDoc describes a kind of target for a manual. In its texts, words in backquotes are
// literal.
type KindDoc struct {
	Name    string // "http", or "command"
	Form    string // http://HOST[:PORT]/PATH
	Ready   string // when a target of this kind is ready
	Details string // more sentences; may be empty
	Example string // as written in a shell
}

// Kinds returns every kind of target that a [Parser] accepts.
func Kinds() []KindDoc {
	docs := make([]KindDoc, len(kinds))
	for i, k := range kinds {
		docs[i] = KindDoc{k.name, k.form, k.ready, k.details, k.example}
	}
	return docs
}

// OptionDoc describes an option of targets for a manual. In its texts, words in backquotes
// are literal.
type OptionDoc struct {
	Name       string   // "timeout"
	Value      string   // placeholder of its value
	Uses       []Use    // nil: every use
	Kinds      []string // nil: every kind
	Repeatable bool
	Meaning    string
	Details    string
}

// Options returns every option that Parse accepts.
func Options() []OptionDoc {
	all := allOptions()
	docs := make([]OptionDoc, len(all))
	for i, o := range all {
		docs[i] = OptionDoc{o.name, o.value, o.uses, nil, o.repeat, o.meaning, o.details}
		for _, k := range kinds {
			if slices.ContainsFunc(k.options, func(have option) bool { return have.name == o.name }) {
				docs[i].Kinds = append(docs[i].Kinds, k.name)
			}
		}
	}
	return docs
}
