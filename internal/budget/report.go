package budget

// The sizes of what the CRI reports. Clients bound what they receive: the kubelet and crictl
// take messages of 16 MiB, a gRPC client that sets nothing takes 4 MiB.
const (
	// Message bounds one gRPC message of the CRI in both directions, in bytes: what the kubelet,
	// crictl and containerd use. A unary list that is longer has annotations cut off until it
	// fits; one that does not fit even so is ResourceExhausted, and the error names the Stream*
	// RPC that sends the list in parts.
	Message = 16 << 20

	// StreamMessage bounds one message of a Stream* RPC (KEP-5825) and one event of
	// GetContainerEvents, in bytes: half of what any gRPC client takes. An object that is
	// larger on its own has annotations cut off until it fits.
	StreamMessage = 2 << 20

	// ReportedMetadata bounds the labels and annotations that one pod, container or image
	// shows in a list, a status or an event, in bytes of keys and values together. Kubernetes
	// admits annotations of 256 KiB for an object, so that nothing from a cluster is cut off
	// here. Longer values are shown in part, with a note of how much is missing; what the
	// client sent is kept whole, and NRI and CNI plugins get it whole.
	ReportedMetadata = 512 << 10

	// ReportedValue is the length in bytes up to which a label or annotation is never cut off: the
	// longest name that Kubernetes knows (253) fits.
	ReportedValue = 256

	// ReportedInterfaces is how many network interfaces of one pod have figures in stats and
	// metrics. A pod with NET_ADMIN can make tens of thousands. The default interface is always
	// among them.
	ReportedInterfaces = 64
)
