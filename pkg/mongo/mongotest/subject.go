package mongotest

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// attributeNames are the short names that OpenSSL prints in RFC 2253 form; the
// rest appear as dotted numbers.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.42": "GN",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID", "1.2.840.113549.1.9.1": "emailAddress",
}

// attribute is one part of a subject. The value stays raw for its string type.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attributeSET []attribute

// Subject renders a certificate's subject as MongoDB names X.509 users: RFC
// 2253, that is the RDNs of the certificate in reverse order, with special and
// non-ASCII bytes escaped. It fails on a subject that does not parse.
func Subject(cert *x509.Certificate) (string, error) {
	var rdns []attributeSET
	if rest, err := asn1.Unmarshal(cert.RawSubject, &rdns); err != nil {
		return "", fmt.Errorf("parse subject: %w", err)
	} else if len(rest) > 0 {
		return "", fmt.Errorf("parse subject: %d bytes too many", len(rest))
	}
	var parts []string
	for _, set := range slices.Backward(rdns) {
		var multi []string
		for _, a := range slices.Backward(set) {
			multi = append(multi, renderAttribute(a))
		}
		parts = append(parts, strings.Join(multi, "+"))
	}
	return strings.Join(parts, ","), nil
}

func renderAttribute(a attribute) string {
	name, known := attributeNames[a.Type.String()]
	if !known {
		return a.Type.String() + "=#" + strings.ToUpper(hex.EncodeToString(a.Value.FullBytes))
	}
	value := a.Value.Bytes
	const tagBMPString = 30
	if a.Value.Tag == tagBMPString {
		var out bytes.Buffer
		for i := 0; i+1 < len(value); i += 2 {
			out.WriteRune(rune(value[i])<<8 | rune(value[i+1]))
		}
		value = out.Bytes()
	}
	var b strings.Builder
	b.WriteString(name + "=")
	for i, c := range value {
		switch {
		case strings.IndexByte(`,+"\<>;`, c) >= 0, c == '#' && i == 0, c == ' ' && (i == 0 || i == len(value)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&b, `\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// memberKey is what decides cluster membership: the O, OU and DC attributes,
// sorted; empty when there are none, and then nobody is a member.
func memberKey(dn string) string {
	var parts []string
	for _, rdn := range splitDN(dn) {
		if strings.HasPrefix(rdn, "O=") || strings.HasPrefix(rdn, "OU=") || strings.HasPrefix(rdn, "DC=") {
			parts = append(parts, rdn)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// splitDN parts a rendered subject at its unescaped commas and pluses.
func splitDN(dn string) []string {
	var out []string
	var b strings.Builder
	for i := 0; i < len(dn); i++ {
		switch {
		case dn[i] == '\\' && i+1 < len(dn):
			b.WriteString(dn[i : i+2])
			i++
		case dn[i] == ',' || dn[i] == '+':
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(dn[i])
		}
	}
	return append(out, b.String())
}

// parseDN gives the subject of a rendered DN, as a certificate that must show
// it carries it; only the attributes of attributeNames and no escapes beyond
// "\," are taken. Test certificates are made with it.
func parseDN(dn string) (pkix.RDNSequence, error) {
	var out pkix.RDNSequence
	for _, part := range slices.Backward(splitDN(dn)) {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("parse DN %q: %q has no =", dn, part)
		}
		var oid asn1.ObjectIdentifier
		for id, n := range attributeNames {
			if n == name {
				for _, arc := range strings.Split(id, ".") {
					var v int
					if _, err := fmt.Sscanf(arc, "%d", &v); err != nil {
						return nil, fmt.Errorf("parse DN %q: %w", dn, err)
					}
					oid = append(oid, v)
				}
			}
		}
		if oid == nil {
			return nil, fmt.Errorf("parse DN %q: attribute %q is not known", dn, name)
		}
		value = strings.NewReplacer(`\,`, ",", `\+`, "+").Replace(value)
		out = append(out, pkix.RelativeDistinguishedNameSET{{Type: oid, Value: value}})
	}
	return out, nil
}
