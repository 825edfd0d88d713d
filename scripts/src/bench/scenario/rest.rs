//! History pages and bookings by REST, beside the bare queries.

use std::{path::Path, process::Command};

use anyhow::Result;
use bench::rest::Rates;

use super::{
    super::{
        Arguments,
        house::{Furnishing, House},
        page::{Goal, Page},
        ratio::Spread,
    },
    Scenario, quiet, report_of,
};
use crate::console;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::Rest.title();
    let house = House::open(programs, &Furnishing { workers: 1, ..quiet(arguments, 1) })?;
    let (mut pages, mut bookings) = (Vec::new(), Vec::new());
    for pair in 1..=arguments.pairs {
        console::step("running", format_args!("bare and by REST ({pair} of {})", arguments.pairs));
        let rates = one(programs, &house, arguments.seconds)?;
        let Rates { bare_page, page, bare_booking, booking } = rates;
        console::step(
            "found",
            format_args!("pages {page:.0} of {bare_page:.0} a second, bookings {booking:.0} of {bare_booking:.0}"),
        );
        pages.push(page / bare_page);
        bookings.push(booking / bare_booking);
    }
    page.goal(Goal::at_least(title, "history pages a second, over the bare query's", Spread::of(pages), 0.7));
    page.goal(Goal::at_least(title, "bookings a second, over those by its queries alone", Spread::of(bookings), 0.7));
    Ok(())
}

fn one(programs: &Path, house: &House, seconds: u64) -> Result<Rates> {
    let mut program = Command::new(programs.join("bench"));
    program.args(["rest", "--api", &house.stack().api_url()?, "--seconds", &seconds.to_string()]);
    program.env("DATABASE_URL", house.stack().env("DATABASE_URL")?);
    report_of(program)
}
