// Package environment is what aporeto.yaml says: the identity of one control plane and the zones it runs in.
//
// It parses, validates and edits the file's bytes; it never touches a disk (pkg/envdir does). Invariant: an edit changes the lines it
// must and keeps every comment and every key it does not know.
package environment

import "github.com/aporeto-inc/kubectl-aporeto/pkg/zone"

// Names of the files and folders of an environment directory, relative to it.
const (
	File        = "aporeto.yaml"
	ValuesDir   = "conf.d"
	ValuesFile  = "values.yaml"
	CertsDir    = "certs"
	SecretsFile = "secrets.yaml.age"
)

// The type that aporeto.yaml states, as Kubernetes objects do.
const (
	APIVersion = "aporeto.io/v1alpha1"
	Kind       = "Environment"
)

// Environment is a parsed and validated aporeto.yaml.
type Environment struct {
	ID                    string   // UUID given by init; lease, labels and the identity endpoint carry it
	Recipients            []string // age recipients that secrets.yaml.age is encrypted to
	CertificateGeneration int      // counts reissues of the services' certificates; pod templates carry it
	Zones                 []zone.Zone
}
