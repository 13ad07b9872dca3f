package values

import (
	"strconv"
	"strings"
)

// Literal gives a word of the command line the type that `helm --set` gives it: true, false and null in any case, 0 and integers
// without a leading zero, otherwise text. Nothing in it is split: commas, braces and equals signs are a part of the text.
func Literal(word string) any {
	switch strings.ToLower(word) {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	case "0":
		return int64(0)
	}
	if word != "" && word[0] != '0' {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return n
		}
	}
	return word
}

// Literal is the function of that name, checked: where the charts take only text at path, "true" and "5" stay text. A key that the
// charts do not know and a value that they do not take there are errors.
func (s *Schemas) Literal(path Path, word string) (any, error) {
	value := Literal(word)
	err := s.Check(path, value)
	if err == nil {
		return value, nil
	}
	if _, isText := value.(string); !isText && s.Check(path, word) == nil {
		return word, nil
	}
	return nil, err
}
