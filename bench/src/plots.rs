//! The plots: lines in SVG, of what the report has figures for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::report::{Report, Row};
use crate::scenarios::cost::OPEN_LOOP;

const SIZE: (u32, u32) = (900, 560);
/// Connections of the measurements whose latencies are drawn.
const LATENCY_CONNECTIONS: usize = 256;
/// Lines in a plot.
const LINES_MAX: usize = 9;

/// How an axis is laid out. Values are drawn as the scale has them, labels say what they were.
#[derive(Clone, Copy)]
enum Scale {
    Linear,
    /// By powers of ten.
    Log,
    /// Quantiles, each nine as wide as the one before.
    Nines,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(1e-3).log10(),
            Self::Nines => -(1.0 - value.min(0.9999)).log10(),
        }
    }

    fn label(self, place: f64) -> String {
        match self {
            Self::Linear => format!("{place:.0}"),
            Self::Log => {
                let value = 10_f64.powf(place);
                if value < 10.0 {
                    format!("{value:.1}")
                } else {
                    format!("{value:.0}")
                }
            }
            Self::Nines => format!("{:.4}", 1.0 - 10_f64.powf(-place)),
        }
    }
}

struct Axis {
    name: &'static str,
    scale: Scale,
}

type Lines = BTreeMap<String, Vec<(f64, f64)>>;

/// Draws them beside the report.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn draw(report: &Report, directory: &Path) -> anyhow::Result<()> {
    let connections = Axis {
        name: "connections",
        scale: Scale::Log,
    };
    let a_second = Axis {
        name: "a second",
        scale: Scale::Log,
    };
    draw_lines(
        directory,
        "throughput.svg",
        "In a closed loop",
        &connections,
        &a_second,
        throughput(report),
    )?;
    let quantile = Axis {
        name: "quantile",
        scale: Scale::Nines,
    };
    let millis = Axis {
        name: "ms",
        scale: Scale::Log,
    };
    let title = "Latency, 256 connections in a closed loop";
    draw_lines(
        directory,
        "latency.svg",
        title,
        &quantile,
        &millis,
        latency(report),
    )?;
    let rate = Axis {
        name: "holds a second",
        scale: Scale::Linear,
    };
    let micros = Axis {
        name: "µs",
        scale: Scale::Linear,
    };
    draw_lines(
        directory,
        "cost.svg",
        "CPU time of a hold, by process",
        &rate,
        &micros,
        cost(report),
    )?;
    let seconds = Axis {
        name: "seconds",
        scale: Scale::Linear,
    };
    let mib = Axis {
        name: "MiB",
        scale: Scale::Linear,
    };
    let memory = report
        .memory
        .iter()
        .map(|series| (series.name.clone(), series.points.clone()))
        .collect();
    draw_lines(
        directory,
        "memory.svg",
        "Resident memory",
        &seconds,
        &mib,
        memory,
    )
}

/// What was measured in a closed loop on several counts of connections.
fn throughput(report: &Report) -> Lines {
    let mut lines = Lines::new();
    for row in report
        .rows
        .iter()
        .filter(|row| row.offered.is_none() && row.a_second > 0.0)
    {
        lines
            .entry(row.scenario.clone())
            .or_default()
            .push((row.connections as f64, row.a_second));
    }
    lines.retain(|_, points| points.len() > 1);
    lines
}

fn latency(report: &Report) -> Lines {
    let is_drawn = |row: &&Row| row.offered.is_none() && row.connections == LATENCY_CONNECTIONS;
    let rows = report.rows.iter().filter(is_drawn).take(LINES_MAX);
    rows.map(|row| {
        (
            row.scenario.clone(),
            row.quantiles
                .iter()
                .filter(|(at, _)| *at < 1.0)
                .copied()
                .collect(),
        )
    })
    .collect()
}

fn cost(report: &Report) -> Lines {
    let mut lines = Lines::new();
    for row in report.rows.iter().filter(|row| row.scenario == OPEN_LOOP) {
        let cpu = row.cpu_us;
        let parts = [
            ("ingress", cpu.ingress),
            ("workers", cpu.workers),
            ("NATS", cpu.nats),
            ("Postgres", cpu.postgres),
            ("all of these", cpu.served()),
            ("generator", cpu.generator),
        ];
        for (name, micros) in parts {
            lines
                .entry(name.to_owned())
                .or_default()
                .push((row.a_second, micros));
        }
    }
    lines
}

fn draw_lines(
    directory: &Path,
    file: &str,
    title: &str,
    x: &Axis,
    y: &Axis,
    lines: Lines,
) -> anyhow::Result<()> {
    let path = directory.join(file);
    if lines.is_empty() {
        // None is better than one of an earlier run.
        let removed = std::fs::remove_file(&path);
        return if path.exists() { Ok(removed?) } else { Ok(()) };
    }
    let place = |(at, value): &(f64, f64)| (x.scale.place(*at), y.scale.place(*value));
    let lines: Vec<(String, Vec<(f64, f64)>)> = lines
        .into_iter()
        .take(LINES_MAX)
        .map(|(name, points)| (name, points.iter().map(place).collect()))
        .collect();
    plot(&path, title, x, y, &lines)
        .map_err(|error| anyhow!("{} was not drawn: {error}", path.display()))
}

fn plot(
    path: &Path,
    title: &str,
    x: &Axis,
    y: &Axis,
    lines: &[(String, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let range = |values: &mut dyn Iterator<Item = f64>, scale: Scale| {
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        // Linear axes begin at zero, so that what looks flat is.
        let least = if matches!(scale, Scale::Log) {
            least
        } else {
            0.0
        };
        let room = (most - least).max(0.1) * 0.05;
        if matches!(scale, Scale::Log) {
            least - room..most + room
        } else {
            least..most + room
        }
    };
    let across = range(&mut points().map(|(at, _)| *at), x.scale);
    let up = range(&mut points().map(|(_, value)| *value), y.scale);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(across, up)?;
    chart
        .configure_mesh()
        .x_desc(x.name)
        .y_desc(y.name)
        .x_label_formatter(&|place| x.scale.label(*place))
        .y_label_formatter(&|place| y.scale.label(*place))
        .light_line_style(WHITE)
        .draw()?;
    for (number, (name, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(name)
            .legend(move |(left, top)| PathElement::new([(left, top), (left + 18, top)], style));
        chart.draw_series(
            points
                .iter()
                .map(|point| Circle::new(*point, 3, color.filled())),
        )?;
    }
    // Where lines seldom are: what rises is drawn by powers of ten, costs fall.
    let is_log = matches!(y.scale, Scale::Log);
    let position = if is_log {
        SeriesLabelPosition::LowerRight
    } else {
        SeriesLabelPosition::UpperRight
    };
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(area.present()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_what_values_were() {
        for (scale, value, label) in [
            (Scale::Linear, 42.0, "42"),
            (Scale::Log, 1000.0, "1000"),
            (Scale::Log, 0.5, "0.5"),
            (Scale::Nines, 0.99, "0.9900"),
        ] {
            assert_eq!(scale.label(scale.place(value)), label);
        }
    }
}
