package spec

// vain notes what containerd and CRI-O accept and ignore, and what is ignored here too.
func (b *builder) vain() error {
	if b.in.Config.GetWindows() != nil {
		b.warn("config.windows is ignored on a Linux node.")
	}
	if b.sc.GetRunAsUser() != nil && b.sc.GetRunAsUsername() != "" {
		b.warn("run_as_user is ignored beside run_as_username.")
	}
	return nil
}
