package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/bootstrap"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/hint"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/kube"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/plan"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/release"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/rollout"
	"github.com/aporeto-inc/kubectl-aporeto/pkg/zone"
)

// secretsFile is the file of a rendered zone that holds its Secrets.
const secretsFile = "secrets.yaml"

type renderOptions struct {
	f      *Factory
	zones  zoneFlags
	values valueFlags

	dir     string
	secrets bool
}

func newRenderCmd(f *Factory) *cobra.Command {
	o := &renderOptions{f: f}
	cmd := &cobra.Command{
		Use:   "render --zone NAME... | --all-zones",
		Short: "Write the objects that deploy would install, without any cluster",
		Long: `Write the objects that deploy would install, without any cluster: to stdout, or with -o to DIR/ZONE/control-plane.yaml and
auto-maintenance.yaml. Twice the same environment gives twice the same bytes.

With --secrets the Secrets come too (secrets.yaml, readable by you alone): private keys in plain, for whoever installs by other means.
Certificates that are in DIR already are kept while they are valid. The namespace is not among the objects.`,
		Example: `  kubectl aporeto render --all-zones -o out
  kubectl aporeto render --zone passive --secrets -o out && kubectl apply -f out/passive`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.zones.add(f, cmd)
	o.values.add(cmd)
	cmd.Flags().StringVarP(&o.dir, "output-dir", "o", "", "the `directory` to write to")
	cmd.Flags().BoolVar(&o.secrets, "secrets", false, "write the Secrets too, with private keys in plain")
	return cmd
}

func (o *renderOptions) run(ctx context.Context) error {
	want, err := o.f.wishes(&o.values)
	if err != nil {
		return err
	}
	zones, err := o.zones.need(want.env)
	if err != nil {
		return err
	}
	wanted, err := want.of(zones)
	if err != nil {
		return err
	}
	charts, err := loadCharts()
	if err != nil {
		return err
	}
	var certificates *bootstrap.Certificates
	if o.secrets {
		if certificates, err = o.offlineCertificates(want); err != nil {
			return err
		}
	}
	// Everything is rendered before anything is written, so that an error leaves no half of a zone.
	rendered := make([]map[string][]byte, len(wanted))
	for i, w := range wanted {
		if rendered[i], err = renderZone(ctx, charts, w); err != nil {
			return fmt.Errorf("zone %s: %w", w.Zone.Name, err)
		}
		if o.secrets {
			if rendered[i][secretsFile], err = o.renderSecrets(want.env.ID, certificates, w); err != nil {
				return fmt.Errorf("zone %s: %w", w.Zone.Name, err)
			}
		}
	}
	for i, z := range zones {
		if err := o.write(z, rendered[i]); err != nil {
			return err
		}
	}
	return nil
}

func (o *renderOptions) offlineCertificates(want *wishes) (*bootstrap.Certificates, error) {
	if there, err := want.dir.ReadOptional(environment.CertsDir + "/" + pki.SystemChain + ".pem"); err != nil || there == nil {
		return nil, errors.Join(err, hint.New("the environment has no certificates yet", "kubectl aporeto pki init"))
	}
	return o.f.certificates(want.dir, want.env, o.f.notify), nil
}

// renderZone returns the files of one zone by their names; the job's is nil when the zone has none.
func renderZone(ctx context.Context, charts rollout.Charts, w plan.Wanted) (map[string][]byte, error) {
	controlPlane, autoMaintenance := charts.Spec(w)
	manifest, err := release.Render(ctx, controlPlane, release.Offline())
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{rollout.ControlPlane + ".yaml": []byte(manifest.Text), rollout.AutoMaintenance + ".yaml": nil}
	if w.Endpoint() == "" {
		return files, nil
	}
	manifest, err = release.Render(ctx, autoMaintenance, release.Offline())
	files[rollout.AutoMaintenance+".yaml"] = []byte(manifest.Text)
	return files, err
}

func (o *renderOptions) renderSecrets(id string, certificates *bootstrap.Certificates, w plan.Wanted) ([]byte, error) {
	have, err := o.presentSecrets(w.Zone)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, s := range plan.Secrets(w, w.Endpoint() != "") {
		data, _, err := issue(certificates, w.Zone, s, have[s.Name])
		if err != nil {
			return nil, fmt.Errorf("make Secret %q: %w", s.Name, err)
		}
		text, err := yaml.Marshal(rollout.Secret(id, w, s, data).Object(w.Zone.Namespace))
		if err != nil {
			return nil, fmt.Errorf("write Secret %q: %w", s.Name, err)
		}
		fmt.Fprintf(&out, "---\n# Source: kubectl-aporeto/%s\n%s", s.Name, text)
	}
	return out.Bytes(), nil
}

// presentSecrets reads the Secrets of an earlier render, so that valid certificates are kept.
func (o *renderOptions) presentSecrets(z zone.Zone) (map[string]map[string][]byte, error) {
	if o.dir == "" {
		return nil, nil
	}
	data, err := os.ReadFile(o.path(z, secretsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read earlier Secrets: %w", err)
	}
	secrets, err := kube.ParseSecrets(data)
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("read earlier Secrets in %q: %w", o.path(z, secretsFile), err), "remove the file to have new certificates")
	}
	return secrets, nil
}

func (o *renderOptions) path(z zone.Zone, name string) string {
	dir := o.dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.f.WorkDir, dir)
	}
	return filepath.Join(dir, z.Name, name)
}

// write puts a zone's files where they were asked for. A file that an earlier render wrote and that is nothing now goes.
func (o *renderOptions) write(z zone.Zone, files map[string][]byte) error {
	for _, name := range []string{secretsFile, rollout.ControlPlane + ".yaml", rollout.AutoMaintenance + ".yaml"} {
		data, ours := files[name]
		if o.dir == "" {
			if _, err := o.f.IO.Out.Write(data); err != nil {
				return fmt.Errorf("write to stdout: %w", err)
			}
			continue
		}
		path := o.path(z, name)
		if ours && data == nil {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove an earlier render: %w", err)
			}
			continue
		}
		if !ours {
			continue
		}
		if err := o.writeFile(path, data, name == secretsFile); err != nil {
			return err
		}
	}
	return nil
}

func (o *renderOptions) writeFile(path string, data []byte, private bool) error {
	mode := fs.FileMode(0o644)
	if private {
		mode = 0o600
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write render: %w", err)
	}
	if err := renameio.WriteFile(path, data, mode, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write render: %w", err)
	}
	_, err := fmt.Fprintln(o.f.IO.Out, path)
	return err
}
