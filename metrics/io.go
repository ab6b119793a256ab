package metrics

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"time"
)

// DeviceIO is what a cgroup read from and wrote to one block device. Writes through
// the page cache count for a cgroup only on v2.
type DeviceIO struct {
	// Device is "major:minor", Name the kernel's name of it ("sda"), which the sampler adds.
	Device string
	Name   string `json:"-"`
	// Bytes and operations by direction.
	ReadBytes, WriteBytes, DiscardBytes uint64
	Reads, Writes, Discards             uint64
	// Cost is what the io.cost controller accounts, nil where that is not in use (or v1).
	Cost *IOCost `json:",omitempty"`
}

// IOCost has nanoseconds of device time used, waited for, owed, and delayed for owing.
type IOCost struct {
	Usage, Wait, Indebt, Indelay uint64
}

func readIO(f *files, g *group, s *Sample) error {
	devices := map[string]*DeviceIO{}
	at := func(dev []byte) *DeviceIO {
		d, ok := devices[string(dev)]
		if !ok {
			d = &DeviceIO{Device: string(dev)}
			devices[d.Device] = d
		}
		return d
	}
	read := readIO1
	if g.unified {
		read = readIO2
	}
	if time.Since(g.noIO) < slowAge || !g.unified && g.idleSince(g.noIO, stillAge) {
		return nil
	}
	if err := read(f, g.dir("blkio"), at); err != nil {
		return err
	}
	if len(devices) == 0 {
		// Four files on v1, which many kernels never have anything in: asked again before long.
		g.noIO = time.Now()
		return nil
	}
	s.IO = sorted(devices)
	return nil
}

func sorted(devices map[string]*DeviceIO) []DeviceIO {
	var out []DeviceIO
	for _, d := range devices {
		out = append(out, *d)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Device < out[j].Device })
	return out
}

// readIO1 takes the throttling layer's counters, which any scheduler has, but which Linux
// 6.9 and later keep only for disks that have a limit somewhere; then those of
// the BFQ scheduler, if that is in use. Without both v1 has none.
func readIO1(f *files, dir *directory, at func([]byte) *DeviceIO) error {
	for _, layer := range []string{"blkio.throttle.", "blkio.bfq."} {
		found := false
		err := blkio(f, dir, layer+"io_service_bytes_recursive", func(dev, op []byte, v uint64) {
			found = true
			at(dev).set(op, v, (*DeviceIO).bytes)
		})
		if err == nil {
			err = blkio(f, dir, layer+"io_serviced_recursive", func(dev, op []byte, v uint64) {
				found = true
				at(dev).set(op, v, (*DeviceIO).operations)
			})
		}
		if found || !vanished(err) {
			return err
		}
	}
	return nil
}

// set stores the value of a v1 line into one of the three fields that into gives.
func (d *DeviceIO) set(op []byte, v uint64, into func(*DeviceIO) (read, write, discard *uint64)) {
	read, write, discard := into(d)
	switch string(op) {
	case "Read":
		*read = v
	case "Write":
		*write = v
	case "Discard":
		*discard = v
	}
}

func (d *DeviceIO) bytes() (read, write, discard *uint64) {
	return &d.ReadBytes, &d.WriteBytes, &d.DiscardBytes
}

func (d *DeviceIO) operations() (read, write, discard *uint64) {
	return &d.Reads, &d.Writes, &d.Discards
}

// blkio calls fn for each line "8:0 Read 4096"; the line "Total 4096" is left out.
func blkio(f *files, dir *directory, name string, fn func(dev, op []byte, v uint64)) error {
	b, err := f.read(dir, name)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		v, err := number(fields[2])
		if err != nil {
			return fmt.Errorf("%s/%s: line %q: %w", dir.path, name, line, err)
		}
		fn(fields[0], fields[1], v)
	}
	return nil
}

// readIO2 reads lines like "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0".
func readIO2(f *files, dir *directory, at func([]byte) *DeviceIO) error {
	b, err := f.read(dir, "io.stat")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		d := at(fields[0])
		for _, kv := range fields[1:] {
			key, val, _ := bytes.Cut(kv, []byte{'='})
			into := d.field(string(key))
			if into == nil {
				continue
			}
			if *into, err = number(val); err != nil {
				return fmt.Errorf("%s/io.stat: line %q: %w", dir.path, line, err)
			}
			if bytes.HasPrefix(key, []byte("cost.")) {
				*into = nanos(*into)
			}
		}
	}
	return nil
}

// field is where a key of io.stat belongs; nil for keys of other features.
func (d *DeviceIO) field(key string) *uint64 {
	if cost, ok := strings.CutPrefix(key, "cost."); ok {
		if d.Cost == nil {
			d.Cost = &IOCost{}
		}
		switch cost {
		case "usage":
			return &d.Cost.Usage
		case "wait":
			return &d.Cost.Wait
		case "indebt":
			return &d.Cost.Indebt
		case "indelay":
			return &d.Cost.Indelay
		}
		return nil
	}
	switch key {
	case "rbytes":
		return &d.ReadBytes
	case "wbytes":
		return &d.WriteBytes
	case "dbytes":
		return &d.DiscardBytes
	case "rios":
		return &d.Reads
	case "wios":
		return &d.Writes
	case "dios":
		return &d.Discards
	}
	return nil
}
