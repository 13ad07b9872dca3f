package envdir

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/environment"
)

// CertificateFiles lists the files of certs/ that hold a certificate to look after, sorted, relative to the directory: *-cert.pem, the
// custom CA of MongoDB, and the user's own public certificates (public/<zone>/tls.crt). Chains and -full.pem repeat others.
func (d *Dir) CertificateFiles() ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(d.Path), environment.CertsDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if !entry.IsDir() && (strings.HasSuffix(base, "-cert.pem") || base == "mongodb-custom-ca.pem" || base == "tls.crt") {
			names = append(names, name)
		}
		return nil
	})
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	slices.Sort(names)
	return names, nil
}
