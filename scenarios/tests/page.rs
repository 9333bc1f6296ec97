//! The page of a failover says how long it took.

use headwater_net_sim::page::page;
use headwater_net_sim::{Crash, secs};
use headwater_scenarios::Plan;
use headwater_scenarios::cluster::{Cluster, START};
use serde_json::Value;

#[test]
fn a_failover_is_a_span_from_the_loss_to_the_first_media_of_the_next_origin() {
    let mut cluster = Cluster::recorded(11, &Plan::default());
    cluster.world.run_for(START);
    cluster.viewer("viewer");
    cluster.world.run_for(secs(8));
    let lost = cluster.world.now();
    cluster.world.crash(cluster.origin_a, Crash::Silent);
    cluster.world.run_for(secs(8));
    let page = page("failover", &cluster.world, &[]);
    let (_, rest) = page.split_once("id=\"data\">").expect("the page has data");
    let (data, _) = rest.split_once("</script>").expect("the data ends");
    let data: Value = serde_json::from_str(data).expect("the data is JSON");

    let roles: Vec<_> = data["hosts"].as_array().expect("hosts").iter().map(|host| &host["role"]).collect();
    assert_eq!(roles, ["origin", "origin", "edge", "encoder", "other", "viewer"]);

    let spans = data["spans"].as_array().expect("spans");
    assert_eq!(spans.len(), 2, "{spans:?}");
    let [first, second] = [&spans[0], &spans[1]];
    assert_eq!((first["failover"] == true, second["failover"] == true), (false, true));
    let switches = cluster.switches();
    assert_eq!(first["until"], switches[0].at.as_micros());
    assert_eq!(second["until"], switches[1].at.as_micros());
    let since = second["since"].as_u64().expect("a time");
    let silent = second["silent"].as_u64().expect("a time");
    assert!(since >= lost.as_micros() + 150_000, "suspected at {since}");
    assert_eq!(silent, switches[1].at.as_micros() - switches[1].outage.as_micros() as u64);
    assert!(silent.abs_diff(lost.as_micros()) < 100_000, "silent since {silent}");
    let label = second["label"].as_str().expect("a label");
    assert!(label.starts_with("failover ") && label.ends_with(" ms without media"), "{label}");
}
