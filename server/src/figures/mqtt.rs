//! The metrics of the MQTT door.

use yizhan_mqtt::wire::Kind;
use yizhan_probe::Exposition;

use crate::compose::Mqtt;

/// Writes them.
pub(super) fn metrics(mqtt: &Mqtt, page: &mut Exposition) {
    let meters = &mqtt.meters;
    for kind in Kind::ALL {
        let (received, sent) = meters.packets(*kind);
        for (direction, n) in [("in", received), ("out", sent)] {
            page.counter(
                "yizhan_mqtt_packets_total",
                "MQTT packets, by type and direction.",
                &[("type", kind.name()), ("direction", direction)],
                n,
            );
        }
    }
    let bytes = [("in", &meters.publish_bytes_in), ("out", &meters.publish_bytes_out)];
    for (direction, counter) in bytes {
        page.counter(
            "yizhan_mqtt_publish_bytes_total",
            "Bytes of the payloads of PUBLISH.",
            &[("direction", direction)],
            counter.value(),
        );
    }
    for (reason, n) in meters.connects() {
        page.counter(
            "yizhan_mqtt_connects_total",
            "CONNECTs answered, by reason code of MQTT 5.",
            &[("reason", reason.name())],
            n,
        );
    }
    for (reason, n) in meters.disconnects() {
        page.counter(
            "yizhan_mqtt_disconnects_total",
            "Connections that the server ended, by reason code of MQTT 5.",
            &[("reason", reason.name())],
            n,
        );
    }
    gauges(mqtt, page);
    let dropped = [
        ("too_large", &meters.dropped_too_large),
        ("expired", &meters.dropped_expired),
        ("qos0", &meters.dropped_qos0),
    ];
    for (reason, counter) in dropped {
        page.counter(
            "yizhan_mqtt_dropped_total",
            "Messages that were not sent to a client that wanted them.",
            &[("reason", reason)],
            counter.value(),
        );
    }
    let refused = meters.publish_refused.value();
    page.counter("yizhan_mqtt_publish_refused_total", "PUBLISH that was not taken.", &[], refused);
    let lines = mqtt.traces.lines.value();
    page.counter("yizhan_mqtt_trace_lines_total", "Lines that traces of clients published.", &[], lines);
}

fn gauges(mqtt: &Mqtt, page: &mut Exposition) {
    let meters = &mqtt.meters;
    let traces = mqtt.traces.clients().len();
    let mut gauge = |name, help, value: i64| page.gauge(name, help, &[], value.max(0) as f64);
    gauge("yizhan_mqtt_clients", "Clients that were let in and are here.", meters.clients.value());
    gauge(
        "yizhan_mqtt_inflight",
        "Messages of QoS 1 and 2 under way to clients that are here.",
        meters.inflight.value(),
    );
    gauge(
        "yizhan_mqtt_qos2_held",
        "Messages of QoS 2 received and not released, of clients that are here.",
        meters.qos2_held.value(),
    );
    gauge("yizhan_mqtt_traces", "Clients that are followed.", i64::try_from(traces).unwrap_or(i64::MAX));
}
