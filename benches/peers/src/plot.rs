//! Curves as SVG, written by hand: two axes, a few lines, a legend.

use std::fmt::Write as _;

/// A line through points.
#[derive(Debug, Clone)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// The heading.
    pub title: &'static str,
    /// Under the horizontal axis, which is logarithmic.
    pub x: &'static str,
    /// Beside the vertical axis.
    pub y: &'static str,
    /// Whether the vertical axis is logarithmic too. Otherwise it begins at 0.
    pub log: bool,
    /// The lines.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;
/// Told apart by colour-blind eyes too (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#a0a000"];

impl Chart {
    /// The chart as a file. White behind, so that it can be read in dark pages.
    pub fn to_svg(&self) -> String {
        let all = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let [x, y] = [
            Axis::over(all().map(|point| point.0), true, WIDTH - LEFT - RIGHT),
            Axis::over(all().map(|point| point.1), self.log, HEIGHT - TOP - BOTTOM),
        ];
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>
<text x="{LEFT}" y="24" font-size="15">{}</text>
<text x="{}" y="{}" text-anchor="middle">{}</text>
<text transform="translate(16 {}) rotate(-90)" text-anchor="middle">{}</text>
"#,
            self.title,
            (LEFT + right) / 2.0,
            HEIGHT - 12.0,
            self.x,
            (TOP + bottom) / 2.0,
            self.y,
        );
        for tick in x.ticks() {
            let at = LEFT + x.place(tick);
            let _ = writeln!(
                svg,
                r##"<path d="M{at:.1} {TOP}V{bottom}" stroke="#e4e4e4"/><text x="{at:.1}" y="{}" text-anchor="middle">{}</text>"##,
                bottom + 18.0,
                label(tick)
            );
        }
        for tick in y.ticks() {
            let at = bottom - y.place(tick);
            let _ = writeln!(
                svg,
                r##"<path d="M{LEFT} {at:.1}H{right}" stroke="#e4e4e4"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
                LEFT - 6.0,
                at + 4.0,
                label(tick)
            );
        }
        for (n, series) in self.series.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let points: Vec<String> = series
                .points
                .iter()
                .map(|point| format!("{:.1},{:.1}", LEFT + x.place(point.0), bottom - y.place(point.1)))
                .collect();
            let _ = writeln!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
                points.join(" ")
            );
            for point in points {
                let (cx, cy) = point.split_once(',').unwrap_or_default();
                let _ = writeln!(svg, r#"<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>"#);
            }
            let at = TOP + 14.0 + 20.0 * n as f64;
            let _ = writeln!(
                svg,
                r#"<path d="M{} {at}h18" stroke="{colour}" stroke-width="3"/><text x="{}" y="{}">{}</text>"#,
                right + 12.0,
                right + 36.0,
                at + 4.0,
                series.name
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

struct Axis {
    low: f64,
    high: f64,
    log: bool,
    length: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, log: bool, length: f64) -> Self {
        let values = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) =
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low.is_finite(), log) {
            (false, _) => (1.0, 10.0),
            (true, true) => (10.0_f64.powf(low.log10().floor()), 10.0_f64.powf(high.log10().ceil())),
            (true, false) => (0.0, high * 1.1),
        };
        Self { low, high: if high > low { high } else { low * 10.0 + 1.0 }, log, length }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share * self.length
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (from, to) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            return (from..=to).map(|power| 10.0_f64.powi(power)).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10.0_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= self.high).collect()
    }
}

fn label(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", trimmed(v / 1e6)),
        v if v >= 1e4 => format!("{}k", trimmed(v / 1e3)),
        v => trimmed(v),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
