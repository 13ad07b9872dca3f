package yamledit

import "strings"

// byteOf returns the byte at which the column (in characters, from 0) of line begins: the parser counts characters.
func byteOf(line string, column int) int {
	for i := range line {
		if column == 0 {
			return i
		}
		column--
	}
	return len(line)
}

// keyEnd returns the byte after the colon of the key that begins at from.
func keyEnd(line string, from int) int {
	i := from
	if i < len(line) && (line[i] == '"' || line[i] == '\'') {
		i = quoteEnd(line, i)
	}
	for ; i < len(line); i++ {
		if line[i] == ':' && (i+1 == len(line) || strings.IndexByte(" \t\r\n", line[i+1]) >= 0) {
			return i + 1
		}
	}
	return len(line)
}

// quoteEnd returns the byte after the quoted scalar that begins at from, or the line's end when it goes on in the next one.
func quoteEnd(line string, from int) int {
	quote := line[from]
	for i := from + 1; i < len(line); i++ {
		switch {
		case quote == '"' && line[i] == '\\':
			i++
		case line[i] == quote && quote == '\'' && i+1 < len(line) && line[i+1] == '\'':
			i++
		case line[i] == quote:
			return i + 1
		}
	}
	return len(line)
}

// splitValue parts the rest of a line, after "key:" or "-", into the space before the value and what follows the value: space and a
// comment, or nothing.
func splitValue(rest string) (space, tail string) {
	trimmed := strings.TrimLeft(rest, " \t")
	space = rest[:len(rest)-len(trimmed)]
	if strings.HasPrefix(trimmed, "#") {
		return "", rest
	}
	flow := strings.HasPrefix(trimmed, "[") || strings.HasPrefix(trimmed, "{")
	for i := 0; i < len(trimmed); i++ {
		switch c := trimmed[i]; {
		case (c == '"' || c == '\'') && (i == 0 || flow):
			i = quoteEnd(trimmed, i) - 1
		case c == '#' && i > 0 && (trimmed[i-1] == ' ' || trimmed[i-1] == '\t'):
			return space, trimmed[len(strings.TrimRight(trimmed[:i], " \t")):]
		}
	}
	return space, ""
}
