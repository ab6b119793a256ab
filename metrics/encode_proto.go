package metrics

import (
	"bytes"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// protobuf writes Prometheus' protobuf format, io.prometheus.client.MetricFamily, each
// message after its length: what Prometheus asks for when it takes native histograms.
type protobuf struct {
	bytes.Buffer
	family, metric, part []byte // the messages being written
}

func (p *protobuf) buffered() *bytes.Buffer { return &p.Buffer }

// Field numbers of MetricFamily, Metric and LabelPair.
const (
	familyName, familyHelp, familyType, familyMetric = 1, 2, 3, 4
	metricLabel, metricGauge, metricCounter          = 1, 2, 3
	pairName, pairValue                              = 1, 2
)

func (p *protobuf) prepare(labels []string) []byte {
	var b []byte
	for i, name := range baseLabels() {
		b = p.pair(b, name, labels[i])
	}
	return b
}

func (p *protobuf) pair(b []byte, name, value string) []byte {
	p.part = appendString(appendString(p.part[:0], pairName, name), pairValue, value)
	return appendBytes(b, metricLabel, p.part)
}

func (p *protobuf) begin(f *family) {
	kind := uint64(1) // GAUGE
	if f.kind == runtimeapi.MetricType_COUNTER {
		kind = 0
	}
	p.family = appendString(appendString(p.family[:0], familyName, f.name), familyHelp, f.help)
	p.family = appendUint(p.family, familyType, kind)
}

func (p *protobuf) value(f *family, base []byte, v float64, labels []string) {
	m := append(p.metric[:0], base...)
	for i, name := range f.labels {
		m = p.pair(m, name, labels[i])
	}
	field := protowire.Number(metricGauge)
	if f.kind == runtimeapi.MetricType_COUNTER {
		field = metricCounter
	}
	// Gauge and Counter both have the value in field 1, a double.
	p.part = appendDouble(p.part[:0], 1, v)
	m = appendBytes(m, field, p.part)
	p.family = appendBytes(p.family, familyMetric, m)
	p.metric = m
}

func (p *protobuf) end(*family) {
	p.Write(binary.AppendUvarint(p.part[:0], uint64(len(p.family))))
	p.Write(p.family)
}
