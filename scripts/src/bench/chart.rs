//! The chart: what a delivery costs on each server, as a multiple of the floor.

const WIDTH: f64 = 760.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;
const LABELS: f64 = 210.0;

/// A group of bars for each scenario.
pub(super) fn draw(groups: &[(String, Vec<(String, f64)>)]) -> String {
    let most = groups.iter().flat_map(|(_, bars)| bars).map(|(_, ratio)| *ratio).fold(1.0, f64::max);
    let unit = (WIDTH - LABELS - 70.0) / most;
    let mut body = Vec::new();
    let mut y = 10.0;
    for (title, bars) in groups {
        y += 22.0;
        body.push(format!(r#"<text x="8" y="{y:.0}" font-weight="bold">{title}</text>"#));
        y += 10.0;
        for (name, ratio) in bars {
            let (width, middle, value_at) = (ratio * unit, y + BAR * 0.75, LABELS + ratio * unit + 6.0);
            let colour = if name == "gateway" { "#1f7a4d" } else { "#9aa5b1" };
            body.push(format!(r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{name}</text>"#, LABELS - 8.0));
            body.push(format!(
                r#"<rect x="{LABELS:.0}" y="{y:.0}" width="{width:.1}" height="{BAR:.0}" fill="{colour}"/>"#
            ));
            body.push(format!(r#"<text x="{value_at:.0}" y="{middle:.0}">{ratio:.2}</text>"#));
            y += BAR + GAP;
        }
    }
    let height = y + 34.0;
    let foot = y + 22.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"13\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}\n\
         <text x=\"8\" y=\"{foot:.0}\">processor time for each delivery, as a multiple of the floor program's (less is better)</text>\n\
         </svg>\n",
        body.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_has_its_name_and_its_number() {
        let chart = draw(&[("A".to_owned(), vec![("floor".to_owned(), 1.0), ("gateway".to_owned(), 0.5)])]);
        assert_eq!(chart.matches("<rect x=").count(), 2);
        assert!(chart.contains(">gateway</text>") && chart.contains(">0.50</text>"));
        assert!(chart.trim_end().ends_with("</svg>"));
    }
}
