//! Curves: rules, policies, threads, distinct questions, traffic. Prints tables and writes plots
//! into `benches/plots`.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin scale
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ztlib::authenticate::token::Algorithm;
use ztlib::authorize::CacheLimits;
use ztlib::policies::{PolicyStore, PolicySetBuilder};
use ztlib::enforce::Guard;
use ztlib_benches::RBAC;
use ztlib_peers::engines;
use ztlib_peers::measure::in_turn;
use ztlib_peers::ours::{Wire, patient, rbac, rbac_config, rbac_like, rbac_linear, record_metrics};
use ztlib_peers::plot::{Chart, Series};
use ztlib_peers::task::{Rule, rules, timed};
use ztlib_peers::threads::threads;
use ztlib_peers::traffic::{GRANULARITIES, hit_rates, working_set};
use ztlib_peers::{Failure, inside, memory};

const TIME: Duration = Duration::from_millis(800);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("scale: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    if memory::is_child()? {
        return Ok(());
    }
    record_metrics()?;
    let wire = Wire::new(Algorithm::ES256)?;
    by_rules(&wire)?;
    by_policies(&wire)?;
    by_threads(&wire)?;
    by_distinct_questions()?;
    by_traffic()?;
    flood()
}

fn draw(file: &str, chart: &Chart) -> Result<(), Failure> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../plots"));
    std::fs::create_dir_all(folder)?;
    Ok(std::fs::write(folder.join(file), chart.to_svg())?)
}

/// A Markdown table, a line a point of the first series.
fn print(chart: &Chart) {
    let names: Vec<&str> = chart.series.iter().map(|series| series.name.as_str()).collect();
    println!(
        "\n{} ({})\n\n| {} | {} |\n|---|{}",
        chart.title,
        chart.y,
        chart.x,
        names.join(" | "),
        "---|".repeat(names.len())
    );
    let mut all: Vec<f64> =
        chart.series.iter().flat_map(|series| series.points.iter().map(|point| point.0)).collect();
    all.sort_unstable_by(f64::total_cmp);
    all.dedup();
    for x in all {
        let cell = |series: &Series| {
            let point = series.points.iter().find(|point| point.0 == x);
            point.map_or("-".to_owned(), |point| format!("{:.1}", point.1))
        };
        println!("| {x} | {} |", chart.series.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
}

fn by_rules(wire: &Wire) -> Result<(), Failure> {
    let linear = rbac_linear();
    let names = ["ztlib, remembered", "ztlib, fresh, by index", "ztlib, fresh, rule by rule"];
    let mut series: Vec<Series> =
        names.map(|name| Series { name: name.to_owned(), points: Vec::new() }).into();
    for count in [10_usize, 32, 100, 316, 1000, 3162, 10_000] {
        let (set, asked, x) = (rules(count), timed(count), count as f64);
        match rbac(&set) {
            Ok(policies) => {
                let remembered = inside::remembered_decision(TIME, wire, &policies, &asked)?;
                series[0].points.push((x, remembered / 1000.0));
                series[1].points.push((x, inside::fresh_decision(TIME, wire, &policies, &asked)? / 1000.0));
            }
            Err(failure) => eprintln!("{count} rules do not load: {failure}"),
        }
        if let Some(component) = &linear {
            match rbac_like(component, &set) {
                Ok(policies) => {
                    let took = inside::fresh_decision(TIME, wire, &policies, &asked)?;
                    series[2].points.push((x, took / 1000.0));
                }
                Err(failure) => eprintln!("{count} rules, rule by rule, do not load: {failure}"),
            }
        }
        if count > 3162 {
            continue;
        }
        for mut engine in engines::all(&set)? {
            let mut run = |times| {
                for _ in 0..times {
                    assert!(engine.decide(&asked).is_ok_and(|allowed| allowed));
                }
            };
            let took = in_turn(TIME / 4, &mut [&mut run])[0] / 1000.0;
            match series.iter_mut().find(|series| series.name == engine.name()) {
                Some(series) => series.points.push((x, took)),
                None => series.push(Series { name: engine.name().to_owned(), points: vec![(x, took)] }),
            }
        }
    }
    series.retain(|series| !series.points.is_empty());
    let chart =
        Chart { title: "One decision, by the number of rules", x: "rules", y: "µs", log: true, series };
    print(&chart);
    draw("rules.svg", &chart)
}

/// So many policies in a row, each with 200 rules.
fn several(count: usize, rules: &[Rule]) -> Result<PolicyStore, Failure> {
    let mut builder = PolicySetBuilder::new();
    for n in 0..count {
        builder = builder.component(&format!("rbac-{n}"), RBAC).reasons(["no-rule", "no-role"]);
        builder = builder.config(rbac_config(rules)).budget(patient());
    }
    Ok(builder.load()?)
}

fn by_policies(wire: &Wire) -> Result<(), Failure> {
    let (set, asked) = (rules(200), timed(200));
    let (mut remembered, mut fresh) = (Vec::new(), Vec::new());
    for count in 1..=10 {
        let policies = several(count, &set)?;
        let x = count as f64;
        remembered.push((x, inside::remembered_decision(TIME, wire, &policies, &asked)? / 1000.0));
        fresh.push((x, inside::fresh_decision(TIME, wire, &policies, &asked)? / 1000.0));
    }
    let series = vec![
        Series { name: "remembered".to_owned(), points: remembered },
        Series { name: "fresh, by index".to_owned(), points: fresh },
    ];
    let title = "One decision, by the number of policies of 200 rules";
    let chart = Chart { title, x: "policies", y: "µs", log: true, series };
    print(&chart);
    draw("policies.svg", &chart)
}

fn by_threads(wire: &Wire) -> Result<(), Failure> {
    println!("\nJudgements a second\n\n| | 1 thread | 2 threads | ratio |\n|---|---|---|---|");
    let policies = rbac(&rules(200))?;
    let guard =
        || Guard::builder().allow_unauthenticated_peers().tokens(wire.tokens()).policies(policies.clone());
    let guards = [("remembered", guard().build()), ("fresh", guard().without_decision_cache().build())];
    for (name, guard) in guards {
        let [one, two] = threads(wire, &guard, &timed(200), None)?;
        println!("| {name} | {one:.0} | {two:.0} | {:.2} |", two / one);
    }
    Ok(())
}

fn by_distinct_questions() -> Result<(), Failure> {
    let (mut share, mut took) = (Vec::new(), Vec::new());
    for distinct in [1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000] {
        let set = working_set(distinct, 200_000)?;
        share.push((distinct as f64, set.remembered));
        took.push((distinct as f64, set.nanoseconds / 1000.0));
    }
    let share = Series { name: "remembered, %".to_owned(), points: share };
    let took = Series { name: "a question, µs".to_owned(), points: took };
    let bound = CacheLimits::default().bytes >> 20;
    println!("\nThe cache is bound to {bound} MiB.");
    let chart = Chart {
        title: "Distinct questions, asked at random, in a cache of 32 MiB",
        x: "distinct questions",
        y: "% and µs",
        log: false,
        series: vec![share, took],
    };
    print(&chart);
    draw("distinct.svg", &chart)
}

fn by_traffic() -> Result<(), Failure> {
    let mut series = Vec::new();
    for (name, reads) in GRANULARITIES {
        let (points, all) = hit_rates(50_000, reads)?;
        series.push(Series { name: format!("{name}: {all:.1} % of all"), points });
    }
    let title = "Remembered decisions, by what the policy reads of the caller";
    let chart = Chart { title, x: "requests so far", y: "% since the point before", log: false, series };
    print(&chart);
    draw("traffic.svg", &chart)
}

/// A million distinct questions: how the process grows.
fn flood() -> Result<(), Failure> {
    let bytes = CacheLimits::default().bytes;
    let found = memory::grow(1_000_000, bytes)?;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let points: Vec<_> =
        found.growth.iter().map(|(asked, grown)| (*asked as f64, mebibytes(*grown))).collect();
    let bound = points.iter().map(|point| (point.0, mebibytes(bytes))).collect();
    let series = vec![
        Series { name: "resident memory".to_owned(), points },
        Series { name: "bound of the cache".to_owned(), points: bound },
    ];
    let title = "A flood of a million distinct questions";
    let chart = Chart { title, x: "questions so far", y: "MiB", log: false, series };
    print(&chart);
    draw("flood.svg", &chart)
}
