package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

type pkiTrustOptions struct {
	f         *Factory
	mongo     mongoFlags
	print     printFlags
	drop      bool
	unchecked bool
	yes       bool
}

// routerTrustItem is one router in `pki trust -o json`.
type routerTrustItem struct {
	Router   string     `json:"router"`
	Trust    string     `json:"trust"` // current, former, none, or unknown where the router was not reached
	Subject  string     `json:"subject,omitempty"`
	Issuer   string     `json:"issuer,omitempty"`
	NotAfter *time.Time `json:"notAfter,omitempty"`
	Reason   string     `json:"reason,omitempty"` // of none and unknown
}

const unknownTrust = "unknown"

func newPKITrustCmd(f *Factory) *cobra.Command {
	o := &pkiTrustOptions{f: f}
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Show which CA verifies each MongoDB router, and end the trust in former ones",
		Long: `Show which CA verifies each MongoDB router, and end the trust in former ones.

The routers' certificates are signed by the environment's System CA, or by the CA in certs/mongodb-custom-ca.pem where you put one. To change
from one to the other without a failed request:

  1. put certs/mongodb-custom-ca.pem there (or remove it);
  2. kubectl aporeto deploy --all-zones: every pod trusts both CAs when it is done;
  3. restart the routers with their new certificates, one after the other; this command shows how far that is;
  4. kubectl aporeto pki trust --drop-former, and once more kubectl aporeto deploy --all-zones.

--drop-former is refused while a router shows a certificate of a former CA or does not answer. certs/mongodb-trust.pem records what is
trusted; keep it in git with the rest.`,
		Example: `  kubectl aporeto pki trust
  kubectl aporeto pki trust --drop-former --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.mongo.add(f, cmd)
	o.print.add(cmd, formatJSON, formatYAML)
	cmd.Flags().BoolVar(&o.drop, "drop-former", false, "trust the former CAs no more, from the next deploy on")
	cmd.Flags().BoolVar(&o.unchecked, "unchecked", false, "with --drop-former: do so though routers do not answer")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}

func (o *pkiTrustOptions) run(ctx context.Context) error {
	if err := o.print.check(); err != nil {
		return err
	}
	if o.unchecked && !o.drop {
		return usagef("--unchecked goes with --drop-former")
	}
	if o.drop {
		if err := o.f.askable(o.yes); err != nil {
			return err
		}
	}
	db, err := o.mongo.open(o.f)
	if err != nil {
		return err
	}
	trust, err := db.certificates.Trust()
	if err != nil {
		return err
	}
	if err := db.way(ctx); err != nil {
		return err
	}
	items := o.look(ctx, db, trust)
	if done, err := o.print.object(o.f.IO.Out, newList("RouterTrustList", items)); err != nil {
		return err
	} else if !done {
		if err := table(o.f.IO.Out, []string{"ROUTER", "TRUST", "DAYS", "SUBJECT", "ISSUER"}, o.rows(items)); err != nil {
			return err
		}
	}
	if o.drop {
		return o.dropFormer(ctx, db, trust, items)
	}
	return o.advise(trust, items)
}

// look asks every router and judges what it shows.
func (o *pkiTrustOptions) look(ctx context.Context, db *database, trust pki.Trust) []routerTrustItem {
	now := o.f.Now()
	items := []routerTrustItem{}
	for _, shown := range mongo.ShownCertificates(ctx, db.dial, strings.Join(db.hosts, ",")) {
		item := routerTrustItem{Router: shown.Router, Trust: unknownTrust}
		if shown.Err != nil {
			item.Reason = shown.Err.Error()
		} else {
			leaf := shown.Certificates[0]
			end := leaf.NotAfter.UTC()
			item.Subject, item.Issuer, item.NotAfter = pki.Name(leaf), pki.IssuerName(leaf), &end
			signer, err := trust.Judge(shown.Host, shown.Certificates, now)
			if item.Trust = string(signer); err != nil {
				item.Reason = err.Error()
			}
		}
		items = append(items, item)
	}
	return items
}

func (o *pkiTrustOptions) rows(items []routerTrustItem) [][]string {
	rows := make([][]string, len(items))
	for i, item := range items {
		rows[i] = []string{item.Router, item.Trust, "-", "-", "-"}
		if item.NotAfter != nil {
			rows[i] = []string{item.Router, item.Trust, strconv.Itoa(pki.Days(item.NotAfter.Sub(o.f.Now()))), item.Subject, item.Issuer}
		}
	}
	return rows
}

// routersOf returns the routers whose trust is one of states, with the reasons there are.
func routersOf(items []routerTrustItem, states ...string) (routers []string, reasons []string) {
	for _, item := range items {
		for _, state := range states {
			if item.Trust != state {
				continue
			}
			routers = append(routers, item.Router)
			if item.Reason != "" {
				reasons = append(reasons, fmt.Sprintf("%s: %s", item.Router, item.Reason))
			}
		}
	}
	return routers, reasons
}

// advise says what comes next. Routers that nobody verifies, and those that were not reached, are an error.
func (o *pkiTrustOptions) advise(trust pki.Trust, items []routerTrustItem) error {
	former, _ := routersOf(items, string(pki.ByFormer))
	bad, reasons := routersOf(items, string(pki.ByNobody), unknownTrust)
	if len(bad) > 0 {
		return hint.New(fmt.Sprintf("%d of %d routers are not verified: %s", len(bad), len(items), strings.Join(reasons, "; ")),
			"kubectl aporeto mongo check names what is wrong with each router")
	}
	switch {
	case len(former) > 0:
		o.f.notify(fmt.Sprintf("next: kubectl aporeto deploy --all-zones, if that was not done since; then restart %s with certificates of CN:%s, one after the other",
			strings.Join(former, ", "), trust.Current[0].Subject.CommonName))
	case len(trust.Former) > 0:
		o.f.notify("next: every router shows a certificate of the current CA; kubectl aporeto pki trust --drop-former")
	}
	return nil
}

func (o *pkiTrustOptions) dropFormer(ctx context.Context, db *database, trust pki.Trust, items []routerTrustItem) error {
	if len(trust.Former) == 0 {
		o.f.notify("nothing to do: no former CA is trusted")
		return nil
	}
	refuse := []string{string(pki.ByFormer), string(pki.ByNobody)}
	if !o.unchecked {
		refuse = append(refuse, unknownTrust)
	}
	if behind, reasons := routersOf(items, refuse...); len(behind) > 0 {
		text := fmt.Sprintf("%d of %d routers do not show a certificate of CN:%s: %s", len(behind), len(items), trust.Current[0].Subject.CommonName, strings.Join(behind, ", "))
		if len(reasons) > 0 {
			text += " (" + strings.Join(reasons, "; ") + ")"
		}
		return hint.New(text, "restart them with their new certificates, then this again; kubectl aporeto pki trust shows them. --unchecked passes over routers that do not answer")
	}
	if err := o.f.confirm(ctx, o.yes, fmt.Sprintf("Trust routers with certificates of a former CA no more (%s)?", strings.Join(certificateNames(trust.Former), ", "))); err != nil {
		return err
	}
	unlock, err := db.dir.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	env, err := db.dir.Load() // under the lock: another command may have raised the generation
	if err != nil {
		return err
	}
	changes, err := o.f.certificates(db.dir, env, func(string) {}).DropFormer()
	for _, change := range changes {
		o.f.notify(change.String())
	}
	if err != nil {
		return err
	}
	o.f.notify("next: kubectl aporeto deploy --all-zones")
	return nil
}

func certificateNames(certs []*x509.Certificate) []string {
	list := make([]string, len(certs))
	for i, cert := range certs {
		list[i] = pki.Name(cert)
	}
	return list
}
