package image_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/image"
)

// executable is the smallest 64-bit ELF file debug/elf reads: a header and one program header.
func executable(t *testing.T, machine elf.Machine, prog elf.ProgType) []byte {
	t.Helper()
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	h.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	var buf bytes.Buffer
	for _, part := range []any{h, elf.Prog64{Type: uint32(prog)}} {
		if err := binary.Write(&buf, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func TestBuildConfiguration(t *testing.T) {
	for machine, arch := range map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"} {
		img, err := image.Build(executable(t, machine, elf.PT_LOAD), image.Spec{
			Name: "aporeto-agent", Args: []string{"version"}, Labels: map[string]string{"k": "v"},
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		want := v1.Config{
			Entrypoint: []string{"/aporeto-agent"}, Cmd: []string{"version"}, User: "65532:65532",
			Env: []string{"PATH=/"}, Labels: map[string]string{"k": "v"},
		}
		if !reflect.DeepEqual(cfg.Config, want) {
			t.Errorf("config = %+v, want %+v", cfg.Config, want)
		}
		if cfg.OS != "linux" || cfg.Architecture != arch {
			t.Errorf("platform = %s/%s, want linux/%s", cfg.OS, cfg.Architecture, arch)
		}
	}
}

func TestBuildIsReproducible(t *testing.T) {
	program := executable(t, elf.EM_X86_64, elf.PT_LOAD)
	digest := func(binary []byte) v1.Hash {
		img, err := image.Build(binary, image.Spec{Name: "p"})
		if err != nil {
			t.Fatal(err)
		}
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if a, b := digest(program), digest(bytes.Clone(program)); a != b {
		t.Errorf("the same program gave %s and %s", a, b)
	}
	if a, b := digest(program), digest(append(bytes.Clone(program), 0)); a == b {
		t.Errorf("two programs gave one digest %s", a)
	}
}

func TestBuildRefuses(t *testing.T) {
	static := executable(t, elf.EM_X86_64, elf.PT_LOAD)
	for name, c := range map[string]struct {
		binary []byte
		spec   image.Spec
		want   error
	}{
		"dynamic":              {executable(t, elf.EM_X86_64, elf.PT_INTERP), image.Spec{Name: "p"}, image.ErrNotStatic},
		"not ELF":              {[]byte("#!/bin/sh\n"), image.Spec{Name: "p"}, nil},
		"unknown architecture": {executable(t, elf.EM_68K, elf.PT_LOAD), image.Spec{Name: "p"}, nil},
		"no name":              {static, image.Spec{}, nil},
		"name with a slash":    {static, image.Spec{Name: "a/b"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := image.Build(c.binary, c.spec)
			if err == nil {
				t.Fatal("no error")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error = %v, want %v", err, c.want)
			}
		})
	}
}

func TestWriteArchive(t *testing.T) {
	program := executable(t, elf.EM_X86_64, elf.PT_LOAD)
	img, err := image.Build(program, image.Spec{Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "p.tar")
	if err := image.WriteArchive(path, "registry.local/p:dev", img); err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := read.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, error %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if h.Name == "p" && h.Mode != 0o755 {
			t.Errorf("mode of the program = %o, want 755", h.Mode)
		}
	}
	if !bytes.Equal(files["p"], program) {
		t.Errorf("the archive's program differs; files: %d", len(files))
	}
	if err := image.WriteArchive(path, "p@sha256:00", img); err == nil {
		t.Error("a reference without a tag was accepted")
	}
}
