"""When events do not arrive."""

from typing import Final

from tests.rules.case import Case, Fired

HERE = '{instance="here:3003"}'


def flow(*, appended: str, stored: str, **more: str) -> dict[str, str]:
    return {
        'bellwether_events_appended_total{model="toy",type="prediction"}': appended,
        "bellwether_events_stored_total": stored,
        "bellwether_events_duplicate_total": "0+0x200",
        'bellwether_consumer_lag{topic="log",partition="0"}': "0+0x200",
    } | {f"bellwether_{name}": values for name, values in more.items()}


CASES: Final = (
    Case(
        alert="EventsUndelivered",
        when="the oldest event has waited for twenty minutes",
        series={f"bellwether_outbox_oldest_seconds{HERE}": "0+60x30"},
        at="20m",
        fired=(Fired("The oldest event of here:3003 waits for Kafka since 20m 0s", {"instance": "here:3003"}),),
    ),
    Case(
        alert="EventsUndelivered",
        when="the broker was away for eight minutes",
        series={f"bellwether_outbox_oldest_seconds{HERE}": "0+60x8 0+0x20"},
        at="20m",
    ),
    Case(
        alert="OutboxNearlyFull",
        when="nine tenths of the room are taken",
        series={f"bellwether_outbox_depth{HERE}": "900+0x10", f"bellwether_outbox_limit{HERE}": "1000+0x10"},
        at="5m",
        fired=(Fired("The local log of here:3003 holds 90% of the events it may", {"instance": "here:3003"}),),
    ),
    Case(
        alert="OutboxNearlyFull",
        when="half of the room is left",
        series={f"bellwether_outbox_depth{HERE}": "500+0x10", f"bellwether_outbox_limit{HERE}": "1000+0x10"},
        at="5m",
    ),
    Case(
        alert="OutboxNearlyFull",
        when="no forwarder runs, because there is no Kafka",
        series={},
        at="5m",
    ),
    Case(
        alert="DeadLettersAppeared",
        when="three events were buried within the hour",
        series={"bellwether_dead_letters": "4+0x20 7+0x30"},
        at="30m",
        fired=(Fired("3 events could not become rows"),),
    ),
    Case(
        alert="DeadLettersAppeared",
        when="the letters are those of yesterday",
        series={"bellwether_dead_letters": "4+0x90"},
        at="1h30m",
    ),
    Case(
        alert="DeadLettersAppeared",
        when="some were redeemed",
        series={"bellwether_dead_letters": "4+0x30 1+0x100"},
        at="1h45m",
    ),
    Case(
        alert="DeadLettersAppeared",
        when="another monitor takes over and counts the same",
        series={
            'bellwether_dead_letters{instance="a"}': "4+0x20 stale",
            'bellwether_dead_letters{instance="b"}': "_x21 4+0x30",
        },
        at="30m",
    ),
    Case(
        alert="PositionReset",
        when="a consumer found another log when it started",
        series={'bellwether_position_reset_timestamp_seconds{reason="log_replaced"}': "_x20 1200+0x30"},
        at="30m",
        fired=(Fired("Consumers read again from an earlier position: log_replaced", {"reason": "log_replaced"}),),
    ),
    Case(
        alert="PositionReset",
        when="a store goes back for the second time",
        series={'bellwether_position_reset_timestamp_seconds{reason="store_behind"}': "60+0x100 6060+0x30"},
        at="1h50m",
        fired=(Fired("Consumers read again from an earlier position: store_behind", {"reason": "store_behind"}),),
    ),
    Case(
        alert="PositionReset",
        when="it happened hours ago, and Prometheus was away since",
        series={'bellwether_position_reset_timestamp_seconds{reason="log_replaced"}': "60+0x100 _x20 60+0x100"},
        at="3h",
    ),
    Case(
        alert="PositionReset",
        when="it never happened",
        series={'bellwether_position_reset_timestamp_seconds{reason="log_replaced"}': "0+0x200"},
        at="2h",
    ),
    Case(
        alert="EventsExpired",
        when="a topic kept less than its consumer was away",
        series={"bellwether_events_expired_timestamp_seconds": "0+0x20 1200+0x30"},
        at="30m",
        fired=(Fired("Events were gone from the log before they were stored"),),
    ),
    Case(
        alert="EventsExpired",
        when="nothing expired since the consumer started",
        series={"bellwether_events_expired_timestamp_seconds": "0+0x160"},
        at="2h",
    ),
    Case(
        alert="ConsumerLagNotFalling",
        when="the consumers fall further behind for an hour",
        series={'bellwether_consumer_lag{topic="log",partition="0"}': "0+1000x90"},
        at="1h",
        fired=(Fired("Consumers are 60000 events behind, and not catching up"),),
    ),
    Case(
        alert="ConsumerLagNotFalling",
        when="they are far behind and catching up",
        series={'bellwether_consumer_lag{topic="log",partition="0"}': "900000-1000x90"},
        at="1h",
    ),
    Case(
        alert="ConsumerLagNotFalling",
        when="a batch is under way at every look",
        series={'bellwether_consumer_lag{topic="log",partition="0"}': "1500+0x90"},
        at="1h",
    ),
    Case(
        alert="ConsumerLagNotFalling",
        when="the store went away and the lag grows",
        series={
            'bellwether_consumer_lag{topic="log",partition="0"}': "0+0x20 0+200x60",
            "bellwether_store_up": "1+0x20 0+0x60",
        },
        at="1h15m",
        fired=(Fired("Consumers are 10800 events behind, and not catching up"),),
    ),
    Case(
        alert="StoreAway",
        when="no consumer gets anything into the store",
        series={'bellwether_store_up{instance="a"}': "1+0x5 0+0x20", 'bellwether_store_up{instance="b"}': "0+0x30"},
        at="12m",
        fired=(Fired("The record store takes nothing"),),
    ),
    Case(
        alert="StoreAway",
        when="one of two consumers gets through",
        series={'bellwether_store_up{instance="a"}': "1+0x30", 'bellwether_store_up{instance="b"}': "0+0x30"},
        at="12m",
    ),
    Case(
        alert="StoreAway",
        when="nothing is known of it",
        series={"bellwether_store_up": "NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN"},
        at="12m",
    ),
    Case(
        alert="ConsumerSilent",
        when="the last look is a quarter of an hour old",
        series={'bellwether_consumer_last_round_timestamp_seconds{instance="a"}': "300+0x30"},
        at="20m",
        fired=(Fired("No consumer looks for events"),),
    ),
    Case(
        alert="ConsumerSilent",
        when="the process is gone, and its series with it",
        series={'bellwether_consumer_last_round_timestamp_seconds{instance="a"}': "0+60x3 stale"},
        at="10m",
        fired=(Fired("No consumer looks for events"),),
    ),
    Case(
        alert="ConsumerSilent",
        when="a restart takes a minute",
        series={'bellwether_consumer_last_round_timestamp_seconds{instance="a"}': "0+60x3 stale 300+60x10"},
        at="6m",
    ),
    Case(
        alert="ForwarderDown",
        when="it cannot be scraped for minutes",
        series={'up{job="bellwether-forwarder",instance="a"}': "1x2 0x20"},
        at="10m",
        fired=(
            Fired(
                "The forwarder at a does not answer, or cannot see its log",
                {"job": "bellwether-forwarder", "instance": "a"},
            ),
        ),
    ),
    Case(
        alert="ForwarderDown",
        when="it answers and has not seen its log for minutes",
        series={
            'up{job="bellwether-forwarder",instance="a"}': "1x20",
            'bellwether_forwarder_last_round_timestamp_seconds{instance="a"}': "60+0x20",
        },
        at="15m",
        fired=(Fired("The forwarder at a does not answer, or cannot see its log", {"instance": "a"}),),
    ),
    Case(
        alert="ForwarderDown",
        when="it restarts",
        series={'up{job="bellwether-forwarder",instance="a"}': "1x2 0x2 1x20"},
        at="10m",
    ),
    Case(alert="ForwarderDown", when="there is none, because consumers read the local log", series={}, at="10m"),
    Case(
        alert="ConsumerSilent",
        when="one of two consumers still looks",
        series={
            'bellwether_consumer_last_round_timestamp_seconds{instance="a"}': "300+0x30",
            'bellwether_consumer_last_round_timestamp_seconds{instance="b"}': "0+60x30",
        },
        at="20m",
    ),
    Case(
        alert="EventsUnaccounted",
        when="half of what is appended is never stored, and nothing is under way",
        series=flow(appended="0+100x200", stored="0+50x200"),
        at="3h",
        fired=(Fired("At least 2390 events of the last hour were appended and never stored"),),
    ),
    Case(
        alert="EventsUnaccounted",
        when="what is missing still waits for the consumer",
        series=flow(appended="0+100x200", stored="0+50x200")
        | {'bellwether_consumer_lag{topic="log",partition="0"}': "0+50x200"},
        at="3h",
    ),
    Case(
        alert="EventsUnaccounted",
        when="less than a batch waits, for a store that is away for hours",
        series=flow(appended="0+10x200", stored="0+10x60 600+0x140")
        | {
            'bellwether_consumer_lag{topic="log",partition="0"}': "0+0x60 0+10x140",
            "bellwether_store_up": "1+0x60 0+0x140",
        },
        at="3h",
    ),
    Case(
        alert="EventsUnaccounted",
        when="no consumer knows what is under way",
        series=flow(appended="0+100x200", stored="0+50x200")
        | {'bellwether_consumer_lag{topic="log",partition="0"}': "_x200"},
        at="3h",
    ),
    Case(
        alert="EventsUnaccounted",
        when="what is missing waits for Kafka",
        series=flow(appended="0+100x200", stored="0+50x200", outbox_depth="0+50x200"),
        at="3h",
    ),
    Case(
        alert="EventsUnaccounted",
        when="the consumer restarts and counts from 0",
        series=flow(appended="0+100x200", stored="0+100x100 0+100x100"),
        at="3h",
    ),
    Case(
        alert="EventsUnaccounted",
        when="what was not stored is a dead letter",
        series=flow(appended="0+100x200", stored="0+50x200")
        | {'bellwether_events_dead_lettered_total{reason="undecodable"}': "0+50x200"},
        at="3h",
    ),
)
