package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table is one table of the report.
type table struct {
	Title   string
	Run     string // from which run it is
	Columns []string
	Rows    [][]string
	Notes   []string
}

func (t *table) row(cells ...string) { t.Rows = append(t.Rows, cells) }

// text writes the table for a terminal.
func (t *table) text(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "\n%s\n%s\n\n", strings.ToUpper(t.Title), t.Run); err != nil {
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		fmt.Fprintln(tab, strings.Join(row, "\t"))
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, note := range t.Notes {
		fmt.Fprintln(w, "  "+note)
	}
	return nil
}

// markdown writes the table for the documentation.
func (t *table) markdown(w io.Writer) {
	fmt.Fprintf(w, "## %s\n\n%s\n\n| %s |\n|%s\n", t.Title, t.Run, strings.Join(t.Columns, " | "), strings.Repeat("---|", len(t.Columns)))
	for _, row := range t.Rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	if len(t.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range t.Notes {
		fmt.Fprintf(w, "- %s\n", note)
	}
	fmt.Fprintln(w)
}
