package environment

// SetRecipients returns aporeto.yaml with the age recipients that the secrets are encrypted to.
func SetRecipients(data []byte, recipients []string) ([]byte, error) {
	list := make([]any, len(recipients))
	for i, r := range recipients {
		list[i] = r
	}
	return setAll(data, []setting{{[]any{"recipients"}, list}})
}

// SetCertificateGeneration returns aporeto.yaml with the number of the issued certificates' generation, from 1.
func SetCertificateGeneration(data []byte, generation int) ([]byte, error) {
	return setAll(data, []setting{{[]any{"certificates", "generation"}, int64(generation)}})
}
