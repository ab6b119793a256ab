package metrics

// Interface holds the counters of one network interface in a pod.
type Interface struct {
	// Name is the interface's name in the pod.
	Name string
	// Counters since the interface was made.
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}
