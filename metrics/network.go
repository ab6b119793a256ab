package metrics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/netns"
)

// netReader reads the counters of interfaces in other network namespaces through one
// netlink socket in this one: the kernel gives every namespace a number here, and lists
// the interfaces of a number. Entering each namespace would cost a thread switch and a socket
// a pod. A socket that is kept does not keep the pods' namespaces alive, since it is ours.
type netReader struct {
	fd  int // 0 while it is not open
	seq uint32
	buf []byte
}

// linkAge is how long a pod with one interface is taken to have no other: those that are added later, if
// any, are added soon after its start.
const linkAge = 30 * time.Second

// loopback is where a pod talks to itself, which is no traffic.
const loopback = "lo"

// ifiIndex is where struct ifinfomsg has the index.
const ifiIndex = 4

// nlaTypeMask leaves out the flags of an attribute's type.
const nlaTypeMask = 0x3fff

// noNsid is the number of a namespace that has none.
const noNsid = -1

// network is what is known of a pod's network namespace.
type network struct {
	nsid int32 // its number here, or noNsid
	// link is the index of the only interface besides lo, 0 for none or several, as listed at a time.
	link   int32
	listed time.Time
}

// read gives the interfaces in the network namespace at path, without lo. known is what
// was known of it in the pass before; it is brought up to date.
// Most pods have one interface: it is asked for alone, which is half the work, and they
// are listed again after linkAge.
func (n *netReader) read(path string, known *network) ([]Interface, error) {
	if known.nsid == noNsid {
		id, err := n.number(path)
		if err != nil {
			return nil, err
		}
		known.nsid = id
	}
	if known.link != 0 && time.Since(known.listed) < linkAge {
		if ifaces, _, err := n.links(known.nsid, known.link); err == nil && len(ifaces) == 1 {
			return ifaces, nil
		}
	}
	ifaces, link, err := n.links(known.nsid, 0)
	if err != nil {
		*known = network{nsid: noNsid}
		return nil, fmt.Errorf("list the interfaces in %s: %w", path, err)
	}
	known.link, known.listed = 0, time.Now()
	if len(ifaces) == 1 {
		known.link = link
	}
	return ifaces, nil
}

// someInterfaces are at most budget.ReportedInterfaces of a pod's, the default one among them.
func someInterfaces(all []Interface, def string) []Interface {
	const most = budget.ReportedInterfaces
	if len(all) <= most {
		return all
	}
	if i := slices.IndexFunc(all, func(i Interface) bool { return i.Name == def }); i >= most {
		all[0], all[i] = all[i], all[0]
	}
	return slices.Clone(all[:most])
}

// number finds the number of a namespace, or gives it one.
func (n *netReader) number(path string) (int32, error) {
	ns, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return noNsid, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(ns)
	id, err := n.ask(ns)
	if err != nil || id != noNsid {
		return id, err
	}
	req := n.request(unix.RTM_NEWNSID, unix.NLM_F_REQUEST|unix.NLM_F_ACK, []byte{unix.AF_UNSPEC, 0, 0, 0})
	req = attr(attr(req, unix.NETNSA_FD, uint32(ns)), unix.NETNSA_NSID, ^uint32(0)) // the kernel chooses
	err = n.exchange(req, func(uint16, []byte) error { return nil })
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return noNsid, fmt.Errorf("give the network namespace %s a number: %w", path, err)
	}
	return n.ask(ns)
}

// ask gives a namespace's number, noNsid for none.
func (n *netReader) ask(ns int) (int32, error) {
	id := int32(noNsid)
	req := attr(n.request(unix.RTM_GETNSID, unix.NLM_F_REQUEST, []byte{unix.AF_UNSPEC, 0, 0, 0}), unix.NETNSA_FD, uint32(ns))
	err := n.exchange(req, func(typ uint16, msg []byte) error {
		if typ == unix.RTM_NEWNSID && len(msg) >= 4 {
			attrs(msg[4:], func(typ uint16, v []byte) {
				if typ == unix.NETNSA_NSID && len(v) >= 4 {
					id = int32(binary.NativeEndian.Uint32(v))
				}
			})
		}
		return nil
	})
	return id, err
}

// links asks for an interface of a namespace, or for all but lo where it has the index 0. It also gives the
// index of the last of them.
func (n *netReader) links(nsid, index int32) (out []Interface, last int32, err error) {
	var header [unix.SizeofIfInfomsg]byte
	binary.NativeEndian.PutUint32(header[ifiIndex:], uint32(index))
	flags := uint16(unix.NLM_F_REQUEST)
	if index == 0 {
		flags |= unix.NLM_F_DUMP
	}
	req := attr(n.request(unix.RTM_GETLINK, flags, header[:]), unix.IFLA_TARGET_NETNSID, uint32(nsid))
	err = n.exchange(req, func(typ uint16, msg []byte) error {
		if typ != unix.RTM_NEWLINK || len(msg) < unix.SizeofIfInfomsg {
			return nil
		}
		i, there := Interface{}, false
		attrs(msg[unix.SizeofIfInfomsg:], func(typ uint16, v []byte) {
			switch typ {
			case unix.IFLA_IFNAME:
				i.Name = netns.InterfaceName(unix.ByteSliceToString(v))
			case unix.IFLA_STATS64:
				countTraffic(&i, v)
			case unix.IFLA_TARGET_NETNSID:
				there = true
			}
		})
		if !there {
			return unix.EOPNOTSUPP // a kernel before 5.0 lists our own
		}
		if i.Name != loopback {
			out, last = append(out, i), int32(binary.NativeEndian.Uint32(msg[ifiIndex:]))
		}
		return nil
	})
	return out, last, err
}

// countTraffic takes over struct rtnl_link_stats64.
func countTraffic(i *Interface, v []byte) {
	for n, into := range []*uint64{
		&i.RxPackets, &i.TxPackets, &i.RxBytes, &i.TxBytes, &i.RxErrors, &i.TxErrors, &i.RxDropped, &i.TxDropped,
	} {
		if len(v) >= 8*(n+1) {
			*into = binary.NativeEndian.Uint64(v[8*n:])
		}
	}
}

// request begins a message; its length is set by exchange.
func (n *netReader) request(typ, flags uint16, header []byte) []byte {
	n.seq++
	b := make([]byte, unix.SizeofNlMsghdr, 64)
	binary.NativeEndian.PutUint16(b[4:], typ)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], n.seq)
	return append(b, header...)
}

// attr appends an attribute of four bytes.
func attr(b []byte, typ uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, unix.SizeofRtAttr+4)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.NativeEndian.AppendUint32(b, v)
}

// attrs calls fn for each attribute.
func attrs(b []byte, fn func(typ uint16, v []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		fn(binary.NativeEndian.Uint16(b[2:])&nlaTypeMask, b[unix.SizeofRtAttr:size])
		b = b[min(len(b), (size+3)&^3):]
	}
}

// exchange sends a request and calls fn for each message of its answer. Anything odd closes
// the socket, so that no later answer is taken for one that belongs to another request.
func (n *netReader) exchange(req []byte, fn func(typ uint16, msg []byte) error) (err error) {
	if err := n.open(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	if err := unix.Sendto(n.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	dump := binary.NativeEndian.Uint16(req[6:])&unix.NLM_F_DUMP != 0
	ack := binary.NativeEndian.Uint16(req[6:])&unix.NLM_F_ACK != 0
	for {
		size, _, err := unix.Recvfrom(n.fd, n.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("hear from the kernel: %w", err)
		}
		done, err := n.messages(n.buf[:size], fn)
		if err != nil || done || (!dump && !ack) {
			return err
		}
	}
}

// messages takes one datagram apart; done is the end of the answer.
func (n *netReader) messages(b []byte, fn func(typ uint16, msg []byte) error) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false, errors.New("malformed netlink message")
		}
		typ, body := binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]
		if binary.NativeEndian.Uint32(b[8:]) != n.seq {
			return false, errors.New("netlink answer to another request")
		}
		switch typ {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			if len(body) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
					return true, unix.Errno(-code)
				}
			}
			return true, nil
		}
		if err := fn(typ, body); err != nil {
			return false, err
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}

func (n *netReader) open() error {
	if n.fd != 0 {
		return nil
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	// The kernel answers at once; this bounds a surprise.
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	n.fd = fd
	if n.buf == nil {
		n.buf = make([]byte, 32<<10) // the largest datagram of a dump
	}
	return nil
}

func (n *netReader) close() {
	if n.fd != 0 {
		_ = unix.Close(n.fd)
		n.fd = 0
	}
}
