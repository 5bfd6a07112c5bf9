//! Plots as SVG inside HTML. Lines and points are drawn in a picture that stretches to any width.
//! Text, and anything with a shape, stands beside it in HTML, and so keeps its size on a phone.

use std::fmt::Write as _;

use super::axis::{Axis, Span, Tick, Unit};
use super::markup::Text;

/// The measures of the picture itself.
pub(super) const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// The style of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A point for each value.
    Points,
    /// A line, broken where a value is missing.
    Line,
    /// A line in steps: a value holds until the next.
    Steps,
    /// A line from the bottom to the value.
    Stems,
}

/// Some values over time.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    /// The class that gives it its colour.
    pub(super) class: &'a str,
    pub(super) style: Style,
    /// The place and the value of each point; values that are not finite are missing.
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    /// A note on the content, and on good values.
    pub(super) note: String,
    pub(super) unit: Unit,
    pub(super) series: Vec<Series<'a>>,
    /// The horizontal axis.
    pub(super) span: Span,
    pub(super) ticks: &'a [Tick],
    /// The times when runs failed, and when they were restarted.
    pub(super) failures: &'a [f64],
    pub(super) restarts: &'a [f64],
    /// True if the pointer can select a save in it.
    pub(super) is_of_time: bool,
}

impl Plot<'_> {
    pub(super) fn html(&self) -> String {
        let values = self.series.iter().flat_map(|series| series.points.iter().map(|(_, value)| *value));
        let axis = Axis::of(self.unit, values);
        let mut html = String::from("<figure class=\"plot\">\n<figcaption>");
        let _ = write!(html, "<h3>{}</h3>", Text(self.title));
        if self.series.iter().any(|series| self.series.first().is_some_and(|first| first.name != series.name))
        {
            html.push_str("<ul class=\"legend\">");
            for series in &self.series {
                let shape = match series.style {
                    Style::Points => "dot",
                    Style::Steps => "step",
                    Style::Line | Style::Stems => "line",
                };
                let _ =
                    write!(html, "<li><i class=\"{shape} {}\"></i>{}</li>", series.class, Text(series.name));
            }
            html.push_str("</ul>");
        }
        let logarithmic =
            if axis.is_logarithmic() { " <span class=\"scale\">Logarithmic scale.</span>" } else { "" };
        if !self.note.is_empty() || !logarithmic.is_empty() {
            let _ = write!(html, "<p>{}{logarithmic}</p>", Text(&self.note));
        }
        html.push_str("</figcaption>\n");
        let class = if self.is_of_time { "frame time" } else { "frame" };
        let _ = write!(html, "<div class=\"{class}\"><div class=\"y\">");
        for (place, text) in axis.ticks() {
            let _ = write!(html, "<span style=\"bottom:{:.2}%\">{}</span>", place * 100.0, Text(&text));
        }
        html.push_str("</div>");
        let _ = write!(
            html,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            Text(self.title)
        );
        let grid: String = axis.ticks().fold(String::new(), |mut path, (place, _)| {
            let _ = write!(path, "M0 {:.2}h{WIDTH}", HEIGHT * (1.0 - place));
            path
        });
        let _ = write!(html, "<path class=\"grid\" d=\"{grid}\"/>");
        html.push_str(&self.marks("restart", self.restarts));
        html.push_str(&self.marks("failure", self.failures));
        for series in &self.series {
            let path = self.path(series, &axis);
            if !path.is_empty() {
                let _ = write!(
                    html,
                    "<path class=\"{} {}\" d=\"{path}\"/>",
                    class_of(series.style),
                    series.class
                );
            }
        }
        html.push_str("</svg>");
        html.push_str(&ticks(self.ticks));
        html.push_str("</div>\n</figure>\n");
        html
    }

    fn place(&self, at: f64) -> f64 {
        WIDTH * self.span.place(at)
    }

    /// Vertical lines at some times.
    fn marks(&self, class: &str, times: &[f64]) -> String {
        let mut path = String::new();
        for time in times {
            let _ = write!(path, "M{:.1} 0v{HEIGHT}", self.place(*time));
        }
        if path.is_empty() { path } else { format!("<path class=\"mark {class}\" d=\"{path}\"/>") }
    }

    fn path(&self, series: &Series<'_>, axis: &Axis) -> String {
        let mut path = String::new();
        let mut is_open = false;
        for (at, value) in &series.points {
            let Some(place) = axis.place(*value) else {
                is_open = false;
                continue;
            };
            let (x, y) = (self.place(*at), HEIGHT * (1.0 - place));
            let _ = match (series.style, is_open) {
                // A line without length, but with round ends, is a point that does not stretch.
                (Style::Points, _) => write!(path, "M{x:.1} {y:.2}h0"),
                (Style::Stems, _) => write!(path, "M{x:.1} {HEIGHT}V{y:.2}"),
                (Style::Line | Style::Steps, false) => write!(path, "M{x:.1} {y:.2}"),
                (Style::Line, true) => write!(path, "L{x:.1} {y:.2}"),
                // The previous value holds until here.
                (Style::Steps, true) => write!(path, "H{x:.1}V{y:.2}"),
            };
            is_open = true;
        }
        path
    }
}

fn class_of(style: Style) -> &'static str {
    match style {
        Style::Points => "points",
        Style::Line | Style::Steps => "curve",
        Style::Stems => "stems",
    }
}

/// The texts below a plot.
pub(super) fn ticks(ticks: &[Tick]) -> String {
    let mut html = String::from("<div class=\"x\">");
    for (count, Tick { place, text, day }) in ticks.iter().enumerate() {
        // A phone has room for every other text.
        let class = if count % 2 == 1 { " class=\"odd\"" } else { "" };
        let _ = write!(html, "<span{class} style=\"left:{:.2}%\">{}", place * 100.0, Text(text));
        if let Some(day) = day {
            let _ = write!(html, "<br/>{}", Text(day));
        }
        html.push_str("</span>");
    }
    html.push_str("</div>");
    html
}
