//! The table: caller, request, decision, microseconds, why.

use std::time::Duration;

use ztlib::observe::AuditEvent;

use crate::client::Answer;
use crate::scenes::{Ask, Scene};

pub struct Row {
    cells: [String; 6],
    pub as_expected: bool,
}

impl Row {
    pub fn new(
        scene: Scene,
        answer: &Answer,
        event: Option<&AuditEvent>,
        took: Option<(Duration, Duration)>,
        as_expected: bool,
    ) -> Self {
        let request = match scene.request {
            Ask::Http(method, path) => format!("{method} {path}"),
            Ask::Grpc(method) => format!("grpc {method}"),
        };
        let decision = match answer {
            Answer::NoConnection(_) => "no connection".to_owned(),
            Answer::Http(status, _) => status.to_string(),
            Answer::Grpc(code) => format!("grpc {}", grpc_name(*code)),
        };
        let why = match (answer, event) {
            (Answer::NoConnection(error), _) => error.clone(),
            (_, Some(event)) => why(event),
            (_, None) => String::new(),
        };
        let micros = |took: Duration| format!("{:.0}", took.as_nanos() as f64 / 1000.0);
        let (first, again) = took.map(|(first, again)| (micros(first), micros(again))).unwrap_or_default();
        let decision =
            if as_expected { decision } else { format!("{decision} (NOT EXPECTED: {:?})", scene.expected) };
        Self { cells: [scene.caller.to_owned(), request, decision, first, again, why], as_expected }
    }
}

/// Denied by whom, for what reason, after reading what.
fn why(event: &AuditEvent) -> String {
    let reads: Vec<String> = event.reads().iter().map(ToString::to_string).collect();
    let said = match (&event.policy(), &event.reason()) {
        (Some(policy), Some(reason)) => format!("{policy}: {reason}"),
        (None, Some(reason)) => reason.to_string(),
        _ => event.verdict().as_str().to_owned(),
    };
    if reads.is_empty() { said } else { format!("{said}; read {}", reads.join(" ")) }
}

fn grpc_name(code: u16) -> &'static str {
    match code {
        0 => "OK",
        7 => "PERMISSION_DENIED",
        12 => "UNIMPLEMENTED",
        14 => "UNAVAILABLE",
        16 => "UNAUTHENTICATED",
        _ => "other",
    }
}

pub fn print(rows: &[Row]) {
    let heads = ["caller", "request", "decision", "first µs", "again µs", "why"];
    let mut widths = heads.map(|head| head.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; 6]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(heads);
    for row in rows {
        line(row.cells.each_ref().map(String::as_str));
    }
}
