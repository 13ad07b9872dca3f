package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/renameio/v2"
)

// User is the numeric user and group every image runs as. It is numeric because Kubernetes checks runAsNonRoot on numbers
// only.
const User = "65532:65532"

// passwd gives the user a name for programs that look themselves up.
const passwd = "nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"

// ErrNotStatic says that a program needs a dynamic loader, which an image from scratch does not have.
var ErrNotStatic = errors.New("the program is not statically linked")

// Spec says what an image holds besides the program.
type Spec struct {
	// Name is the program's file name: it lies at /Name and is the entrypoint.
	Name string
	// Args are the default arguments (the image's Cmd); a pod's args replace them.
	Args []string
	// Labels are the image's labels, such as org.opencontainers.image.version.
	Labels map[string]string
}

// Build makes the image of a program: binary is the content of a static Linux ELF executable, whose header says the
// image's architecture. The error is ErrNotStatic for a dynamically linked one.
func Build(binary []byte, spec Spec) (v1.Image, error) {
	if spec.Name == "" || strings.ContainsAny(spec.Name, `/\`) {
		return nil, fmt.Errorf("build image: %q is not a file name", spec.Name)
	}
	arch, err := architecture(binary)
	if err != nil {
		return nil, fmt.Errorf("build image of %q: %w", spec.Name, err)
	}
	content, err := rootfs(binary, spec.Name)
	if err != nil {
		return nil, fmt.Errorf("build image of %q: %w", spec.Name, err)
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("build layer of %q: %w", spec.Name, err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("append layer of %q: %w", spec.Name, err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read image configuration of %q: %w", spec.Name, err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", arch
	cfg.Config = v1.Config{
		Entrypoint: []string{"/" + spec.Name},
		Cmd:        spec.Args,
		User:       User,
		Env:        []string{"PATH=/"},
		Labels:     maps.Clone(spec.Labels),
	}
	img, err = mutate.ConfigFile(img, cfg)
	if err != nil {
		return nil, fmt.Errorf("write image configuration of %q: %w", spec.Name, err)
	}
	return img, nil
}

// WriteArchive writes the image under a tag reference, such as registry.local/aporeto-agent:dev, as a docker-save archive,
// which `ctr images import` and `docker load` read. The file appears whole or not at all.
func WriteArchive(path, reference string, img v1.Image) error {
	tag, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("parse image reference %q: %w", reference, err)
	}
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("create archive %q: %w", path, err)
	}
	defer func() { _ = f.Cleanup() }() // nothing to clean up once it was replaced
	if err := tarball.Write(tag, img, f); err != nil {
		return fmt.Errorf("write archive %q: %w", path, err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write archive %q: %w", path, err)
	}
	return nil
}

// ReadProgram reads a program's file and names it by its base name: what Build wants.
func ReadProgram(path string) (binary []byte, base string, err error) {
	binary, err = os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("read program: %w", err)
	}
	return binary, filepath.Base(path), nil
}

// rootfs is the layer's content as a tar: no times and no owners, so that it depends on the program alone.
func rootfs(binary []byte, base string) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range []struct {
		header  tar.Header
		content []byte
	}{
		{header: tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}},
		{header: tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, content: []byte(passwd)},
		{header: tar.Header{Name: base, Typeflag: tar.TypeReg, Mode: 0o755}, content: binary},
	} {
		e.header.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.header); err != nil {
			return nil, fmt.Errorf("write tar header of %q: %w", e.header.Name, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, fmt.Errorf("write %q to tar: %w", e.header.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("close tar: %w", err)
	}
	return buf.Bytes(), nil
}

// architecture is the image's architecture, as Go and OCI name it, of a static ELF executable.
func architecture(binary []byte) (string, error) {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return "", fmt.Errorf("read ELF header: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", ErrNotStatic
		}
	}
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	case elf.EM_PPC64:
		if f.ByteOrder.String() == "LittleEndian" {
			return "ppc64le", nil
		}
	case elf.EM_S390:
		return "s390x", nil
	case elf.EM_RISCV:
		return "riscv64", nil
	}
	return "", fmt.Errorf("no image architecture for ELF machine %s", f.Machine)
}
