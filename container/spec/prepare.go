package spec

// Prepare does on the host what the spec relies on: it loads the default
// AppArmor profile and labels paths for SELinux. To be called before the
// container is created, with Output.Volumes made. It does nothing where neither
// is in use, and may be repeated.
func (o *Output) Prepare() error {
	if o.LoadAppArmor != "" {
		if err := LoadAppArmorProfile(o.LoadAppArmor); err != nil {
			return err
		}
	}
	for _, path := range o.Relabel {
		if err := Relabel(path, o.MountLabel); err != nil {
			return err
		}
	}
	return nil
}
