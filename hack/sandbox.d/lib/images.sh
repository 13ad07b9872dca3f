# shellcheck shell=bash
# Container images, each one static binary, made without a registry or a daemon. $STATE/images holds those of this run.

# image NAME BINARY REFERENCE [ARG…] : makes $STATE/images/NAME.tar, from the cache when the binary is the same.
image() {
  local name=$1 binary=$2 reference=$3 hash kept
  shift 3
  hash=$(printf '%s\n' "$(sha256sum < "$binary")" "$(sha256sum < "$CACHE/dev/mkimage")" "$reference" "$@" | sha256sum)
  kept=$IMAGES/$name-${hash:0:16}.tar
  mkdir -p "$IMAGES" "$STATE/images"
  if [ ! -e "$kept" ]; then
    rm -f "$IMAGES/$name"-*.tar
    "$CACHE/dev/mkimage" -o "$kept" -name "$name" -reference "$reference" "$binary" "$@" || fail "cannot make the image of $name"
  fi
  ln -f "$kept" "$STATE/images/$name.tar"
}

# image_build NAME : aporeto-agent or ledger, from this repository's sources.
image_build() {
  build_program ./hack/sandbox.d/mkimage mkimage
  case $1 in
    aporeto-agent)
      build_program ./cmd/aporeto-agent aporeto-agent
      image aporeto-agent "$CACHE/dev/aporeto-agent" "$AGENT_IMAGE"
      ;;
    ledger)
      build_program ./hack/sandbox.d/ledger ledger
      image ledger "$CACHE/dev/ledger" "$LEDGER_IMAGE"
      ;;
  esac
}

# images_build : everything a zone needs to start, and both programs of the demonstration.
images_build() {
  image_build aporeto-agent
  image_build ledger
  build_program ./hack/sandbox.d/pause pause
  image pause "$CACHE/dev/pause" "$PAUSE_IMAGE"
  image coredns "$COREDNS" "$COREDNS_IMAGE" -conf /etc/coredns/Corefile
}
