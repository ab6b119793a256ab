package metrics

func networkFamilies() []family {
	net := func(name, help string, read func(*Interface) uint64) family {
		return family{name: name, help: help, kind: counter, labels: []string{"interface"}, pod: func(p *podSample, out emit) {
			for i := range p.interfaces {
				out(float64(read(&p.interfaces[i])), p.interfaces[i].Name)
			}
		}}
	}
	return []family{
		net("container_network_receive_bytes_total", "Bytes received.", func(i *Interface) uint64 { return i.RxBytes }),
		net("container_network_receive_packets_total", "Packets received.", func(i *Interface) uint64 { return i.RxPackets }),
		net("container_network_receive_errors_total", "Errors while receiving.", func(i *Interface) uint64 { return i.RxErrors }),
		net("container_network_receive_packets_dropped_total", "Packets dropped while receiving.", func(i *Interface) uint64 { return i.RxDropped }),
		net("container_network_transmit_bytes_total", "Bytes sent.", func(i *Interface) uint64 { return i.TxBytes }),
		net("container_network_transmit_packets_total", "Packets sent.", func(i *Interface) uint64 { return i.TxPackets }),
		net("container_network_transmit_errors_total", "Errors while sending.", func(i *Interface) uint64 { return i.TxErrors }),
		net("container_network_transmit_packets_dropped_total", "Packets dropped while sending.", func(i *Interface) uint64 { return i.TxDropped }),
	}
}

func lifeFamilies() []family {
	return []family{
		{
			name: "container_start_time_seconds", help: "When the container started, in seconds since the epoch.", kind: gauge,
			container: func(c *containerSample, out emit) {
				if !c.ref.StartedAt.IsZero() {
					out(float64(c.ref.StartedAt.UnixNano()) / 1e9)
				}
			},
			pod: func(p *podSample, out emit) {
				if !p.ref.CreatedAt.IsZero() {
					out(float64(p.ref.CreatedAt.UnixNano()) / 1e9)
				}
			},
		},
		{
			name: "container_last_seen", help: "When the figures were taken, in seconds since the epoch.", kind: gauge,
			both: func(m *measured, out emit) { out(float64(m.at.Unix())) },
		},
	}
}

// specFamilies show the limits in force, which the kernel has.
func specFamilies() []family {
	spec := func(name, help string, read func(*Limits) (uint64, bool)) family {
		return family{name: name, help: help, kind: gauge, both: func(m *measured, out emit) {
			if m.slow.limits == nil {
				return
			}
			if v, ok := read(m.slow.limits); ok {
				out(float64(v))
			}
		}}
	}
	memory := func(name, help string, read func(*Memory) uint64) family {
		return family{name: name, help: help, kind: gauge, both: func(m *measured, out emit) {
			if m.Memory != nil {
				out(float64(read(m.Memory)))
			}
		}}
	}
	return []family{
		spec("container_spec_cpu_period", "CFS period of the CPU quota, in microseconds.",
			func(l *Limits) (uint64, bool) { return l.CPUPeriod, l.CPUPeriod > 0 }),
		spec("container_spec_cpu_quota", "CPU quota of a period in microseconds; not there without a quota.",
			func(l *Limits) (uint64, bool) { return l.CPUQuota, l.CPUQuota > 0 }),
		spec("container_spec_cpu_shares", "CPU share relative to others, 1024 for one processor.",
			func(l *Limits) (uint64, bool) { return l.CPUShares, l.CPUShares > 0 }),
		memory("container_spec_memory_limit_bytes", "Memory limit, 0 for none.", func(m *Memory) uint64 { return m.Limit }),
		spec("container_spec_memory_reservation_limit_bytes", "Memory that pressure elsewhere leaves alone, 0 for none.",
			func(l *Limits) (uint64, bool) { return l.MemoryReservation, true }),
		memory("container_spec_memory_swap_limit_bytes", "Limit of swap alone, 0 for none.", func(m *Memory) uint64 { return m.SwapLimit }),
	}
}

// berthFamilies are not among cAdvisor's.
func berthFamilies() []family {
	logs := func(name, help string, read func(*LogUsage) uint64) family {
		return family{name: name, help: help, kind: counter, container: func(c *containerSample, out emit) {
			if c.logs != nil {
				out(float64(read(c.logs)))
			}
		}}
	}
	return []family{
		{
			name: "berth_container_fs_measured_timestamp_seconds",
			help: "When the writable layer was measured last, in seconds since the epoch: the age of container_fs_usage_bytes.",
			kind: gauge,
			container: func(c *containerSample, out emit) {
				if c.layer != nil {
					out(float64(c.layer.At.UnixNano()) / 1e9)
				}
			},
		},
		{
			name: "berth_container_fs_inodes", help: "Inodes that the writable layer and the volumes of the image occupy.", kind: gauge,
			container: func(c *containerSample, out emit) {
				if c.layer != nil {
					out(float64(c.layer.Inodes))
				}
			},
		},
		logs("berth_container_log_bytes_total", "Bytes that the container wrote and that reached its log, as of half a minute or the scrape before.",
			func(l *LogUsage) uint64 { return l.Written }),
		logs("berth_container_log_dropped_bytes_total", "Bytes that the container wrote and that could not be logged, as of half a minute or the scrape before.",
			func(l *LogUsage) uint64 { return l.Dropped }),
	}
}
