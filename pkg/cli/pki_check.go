package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
)

// certificateItem is one certificate in `pki check -o json`.
type certificateItem struct {
	bootstrap.Status
	State string `json:"state"` // Good, Renewable, Expiring, Expired or Bad
}

func newPKICheckCmd(f *Factory) *cobra.Command {
	var out printFlags
	threshold := days(30 * 24 * time.Hour)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Show the environment's certificates and how long they last",
		Long: `Show the environment's certificates and how long they last. The exit code is 1 when one ends within the threshold, is expired, missing or
damaged. Long before, in the last third of its life, a certificate is marked Renewable and a warning is printed: kubectl aporeto pki init
reissues it. No passphrase is needed.`,
		Example: `  kubectl aporeto pki check
  kubectl aporeto pki check --threshold 60d -o json`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return runPKICheck(f, &out, threshold)
		},
	}
	out.add(cmd, formatJSON, formatYAML)
	cmd.Flags().Var(&threshold, "threshold", "the least that must be left of every certificate's life, such as 30d or 36h")
	return cmd
}

func runPKICheck(f *Factory, out *printFlags, threshold days) error {
	dir, env, err := f.Load()
	if err != nil {
		return err
	}
	files, err := dir.CertificateFiles()
	if err != nil {
		return err
	}
	found, err := f.certificates(dir, env, f.notify).Check(files)
	if err != nil {
		return err
	}
	var items []certificateItem
	var bad, renewable []string
	early := true // what is bad only ends within the threshold, before the time at which pki init reissues it
	for _, s := range found {
		item := certificateItem{Status: s, State: certificateState(s, f.Now(), time.Duration(threshold))}
		items = append(items, item)
		switch item.State {
		case "Renewable":
			renewable = append(renewable, s.Name)
		case "Good":
		default:
			bad = append(bad, s.Name)
			early = early && item.State == "Expiring" && !s.Renewable
		}
	}
	if done, err := out.object(f.IO.Out, newList("CertificateList", items)); !done {
		err = table(f.IO.Out, []string{"NAME", "STATE", "DAYS", "SUBJECT", "ISSUER"}, certificateRows(items))
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if len(renewable) > 0 {
		fmt.Fprintf(f.IO.ErrOut, "warning: in the last third of their life: %s; kubectl aporeto pki init reissues what it has made\n", strings.Join(renewable, ", "))
	}
	if len(bad) > 0 && early {
		return hint.New(fmt.Sprintf("%d of %d certificates end within the threshold: %s", len(bad), len(items), strings.Join(bad, ", ")),
			"kubectl aporeto pki init reissues them in the last third of their life; kubectl aporeto pki regen NAME a leaf certificate at once")
	}
	if len(bad) > 0 {
		return hint.New(fmt.Sprintf("%d of %d certificates need attention: %s", len(bad), len(items), strings.Join(bad, ", ")),
			"kubectl aporeto pki init reissues what it has made; other files are yours to replace")
	}
	return nil
}

func certificateState(s bootstrap.Status, now time.Time, threshold time.Duration) string {
	switch left := s.NotAfter.Sub(now); {
	case len(s.Problems) > 0:
		return "Bad"
	case left <= 0:
		return "Expired"
	case left < threshold:
		return "Expiring"
	case s.Renewable:
		return "Renewable"
	}
	return "Good"
}

func certificateRows(items []certificateItem) [][]string {
	var rows [][]string
	for _, i := range items {
		row := []string{i.Name, i.State, strconv.Itoa(i.DaysLeft), i.Subject, i.Issuer}
		if len(i.Problems) > 0 {
			row[1] += ": " + strings.Join(i.Problems, "; ")
		}
		if i.Subject == "" {
			row[2], row[3], row[4] = "-", "-", "-"
		}
		rows = append(rows, row)
	}
	return rows
}
