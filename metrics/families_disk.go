package metrics

import (
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func ioFamilies() []family {
	io := func(name, help string, read func(*DeviceIO) uint64) family {
		return family{name: name, help: help, kind: counter, labels: []string{"device"}, both: func(m *measured, out emit) {
			for i := range m.IO {
				out(float64(read(&m.IO[i])), "/dev/"+m.IO[i].Name)
			}
		}, container: func(c *containerSample, out emit) {
			if device, ok := c.untouchedDevice(); ok {
				out(0, device)
			}
		}}
	}
	usage := family{
		name: "container_blkio_device_usage_total", help: "Bytes transferred from and to block devices, by operation.",
		kind: counter, labels: []string{"device", "major", "minor", "operation"},
		both: func(m *measured, out emit) {
			for i := range m.IO {
				d := &m.IO[i]
				major, minor, _ := strings.Cut(d.Device, ":")
				out(float64(d.ReadBytes), "/dev/"+d.Name, major, minor, "Read")
				out(float64(d.WriteBytes), "/dev/"+d.Name, major, minor, "Write")
				out(float64(d.DiscardBytes), "/dev/"+d.Name, major, minor, "Discard")
			}
		},
		container: func(c *containerSample, out emit) {
			if device, ok := c.untouchedDevice(); ok {
				major, minor, _ := strings.Cut(c.fs.Number, ":")
				out(0, device, major, minor, "Read")
				out(0, device, major, minor, "Write")
			}
		},
	}
	cost := func(name, help string, read func(*IOCost) uint64) family {
		return family{name: name, help: help, kind: counter, labels: []string{"device"}, given: hasIOCost, both: func(m *measured, out emit) {
			for i := range m.IO {
				if m.IO[i].Cost != nil {
					out(seconds(read(m.IO[i].Cost)), "/dev/"+m.IO[i].Name)
				}
			}
		}}
	}
	return append([]family{
		io("container_fs_reads_bytes_total", "Bytes read from block devices.", func(d *DeviceIO) uint64 { return d.ReadBytes }),
		io("container_fs_writes_bytes_total", "Bytes written to block devices.", func(d *DeviceIO) uint64 { return d.WriteBytes }),
		io("container_fs_reads_total", "Reads from block devices.", func(d *DeviceIO) uint64 { return d.Reads }),
		io("container_fs_writes_total", "Writes to block devices.", func(d *DeviceIO) uint64 { return d.Writes }),
		cost("container_fs_io_cost_usage_seconds_total", "Time of block devices used, as io.cost accounts it.", func(c *IOCost) uint64 { return c.Usage }),
		cost("container_fs_io_cost_wait_seconds_total", "Time waited for block devices, as io.cost accounts it.", func(c *IOCost) uint64 { return c.Wait }),
		cost("container_fs_io_cost_indebt_seconds_total", "Time of block devices owed, as io.cost accounts it.", func(c *IOCost) uint64 { return c.Indebt }),
		cost("container_fs_io_cost_indelay_seconds_total", "Time delayed for what was owed, as io.cost accounts it.", func(c *IOCost) uint64 { return c.Indelay }),
		usage,
	}, append(zeroFamilies(), layerFamilies()...)...)
}

// untouchedDevice is the device of the filesystem that holds the container's writable layer, if the container has
// neither read nor written it, or the kernel does not tell: its series are zero then, and not missing, as
// with cAdvisor.
func (c *containerSample) untouchedDevice() (device string, ok bool) {
	if c.fs == nil || c.fs.Device == "" {
		return "", false
	}
	for i := range c.IO {
		if "/dev/"+c.IO[i].Name == c.fs.Device {
			return "", false
		}
	}
	return c.fs.Device, true
}

// zeroFamilies are what cAdvisor reports of the filesystem of a container and has no figures for: zero for
// every container. Dashboards and Kubernetes' own tests ask for the names.
func zeroFamilies() []family {
	zero := func(name, help string, kind runtimeapi.MetricType) family {
		return family{name: name, help: help, kind: kind, labels: []string{"device"}, criOnly: true, container: func(c *containerSample, out emit) {
			if c.fs != nil && c.fs.Device != "" {
				out(0, c.fs.Device)
			}
		}}
	}
	return []family{
		zero("container_fs_reads_merged_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
		zero("container_fs_writes_merged_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
		zero("container_fs_read_seconds_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
		zero("container_fs_write_seconds_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
		zero("container_fs_sector_reads_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
		zero("container_fs_sector_writes_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
		zero("container_fs_io_current", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", gauge),
		zero("container_fs_io_time_seconds_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
		zero("container_fs_io_time_weighted_seconds_total", "Always zero, as with cAdvisor; for the kubelet only, /metrics leaves it out.", counter),
	}
}

// layerFamilies are about the writable layer and the filesystem that holds it.
func layerFamilies() []family {
	layer := func(name, help string, read func(*LayerUsage, *Filesystem) float64) family {
		return family{name: name, help: help, kind: gauge, labels: []string{"device"}, container: func(c *containerSample, out emit) {
			if c.layer != nil && c.fs != nil {
				out(read(c.layer, c.fs), c.fs.Device)
			}
		}}
	}
	// The names are cAdvisor's, and so is what they mean: of a container, what the container itself uses. A name with
	// _total passes every check as a counter only.
	inodes := layer("container_fs_inodes_total", "Inodes that the writable layer and the volumes of the image occupy.", func(l *LayerUsage, _ *Filesystem) float64 { return float64(l.Inodes) })
	inodes.kind = counter
	return []family{
		inodes,
		layer("container_fs_usage_bytes", "Bytes that the writable layer and the volumes of the image occupy.", func(l *LayerUsage, _ *Filesystem) float64 { return float64(l.Bytes) }),
		layer("container_fs_limit_bytes", "Size of the filesystem that holds the writable layer.", func(_ *LayerUsage, f *Filesystem) float64 { return float64(f.Bytes) }),
		layer("container_fs_inodes_free", "Always zero, as with cAdvisor, which has it for the filesystems of the node only.", func(*LayerUsage, *Filesystem) float64 { return 0 }),
	}
}
