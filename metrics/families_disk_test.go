package metrics

import (
	"slices"
	"strings"
	"testing"
)

// diskSeries emits all disk families of a container and returns "NAME DEVICE" of each series.
func diskSeries(t *testing.T, c *containerSample) (series []string) {
	t.Helper()
	for _, f := range ioFamilies() {
		if f.given != nil {
			continue
		}
		emitted := map[string]bool{}
		out := func(_ float64, labels ...string) {
			key := f.name + " " + strings.Join(labels, " ")
			if emitted[key] {
				t.Errorf("%s is emitted twice", key)
			}
			emitted[key] = true
			series = append(series, f.name+" "+labels[0])
		}
		if f.both != nil {
			f.both(&c.measured, out)
		}
		if f.container != nil {
			f.container(c, out)
		}
	}
	return series
}

// TestUntouchedDisk: the series about a container's disk exist, with zeros, also when it has read and written nothing, as
// cAdvisor's do and Kubernetes' tests want; a device that was used has its figures alone.
func TestUntouchedDisk(t *testing.T) {
	want := []string{
		"container_fs_reads_bytes_total", "container_fs_reads_total", "container_fs_writes_bytes_total", "container_fs_writes_total",
		"container_blkio_device_usage_total", "container_fs_reads_merged_total", "container_fs_writes_merged_total",
		"container_fs_read_seconds_total", "container_fs_write_seconds_total", "container_fs_sector_reads_total",
		"container_fs_sector_writes_total", "container_fs_io_current", "container_fs_io_time_seconds_total",
		"container_fs_io_time_weighted_seconds_total", "container_fs_inodes_total", "container_fs_inodes_free",
	}
	c := &containerSample{layer: &LayerUsage{Inodes: 3}, fs: &Filesystem{Device: "/dev/sda1", Number: "8:1"}}
	idle := diskSeries(t, c)
	for _, name := range want {
		if !slices.Contains(idle, name+" /dev/sda1") {
			t.Errorf("%s is missing", name)
		}
	}
	c.IO = []DeviceIO{{Device: "8:0", Name: "sda"}}
	if other := diskSeries(t, c); !slices.Contains(other, "container_fs_reads_total /dev/sda") || !slices.Contains(other, "container_fs_reads_total /dev/sda1") {
		t.Errorf("another device was used: %v", other)
	}
	c.IO = []DeviceIO{{Device: "8:1", Name: "sda1"}}
	used := diskSeries(t, c) // fails on a series that is there twice
	if n := len(slices.DeleteFunc(used, func(s string) bool { return s != "container_fs_reads_total /dev/sda1" })); n != 1 {
		t.Errorf("the device was used and has %d series", n)
	}
	if unknown := diskSeries(t, &containerSample{}); len(unknown) != 0 {
		t.Errorf("a container whose filesystem is not known: %v", unknown)
	}
}
