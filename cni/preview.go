package cni

// Preview returns the status that a manager with these options would begin with. It makes no
// directory and runs no plugin, so a network whose plugins have a STATUS is ReasonStatusPending.
func Preview(opts Options) (Status, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Status{}, err
	}
	m := &Manager{opts: opts}
	return m.build(loadDir(opts.ConfDir, opts.MaxConfs)).status, nil
}
