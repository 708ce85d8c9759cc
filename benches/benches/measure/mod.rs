//! Time, shown for matrix products as operations per second and as a fraction of what the machine can do.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use fourlane_benches::peak;
use std::sync::OnceLock;

/// Wall time of something whose "elements" are multiplications and additions.
pub struct OfPeak {
    formatter: Formatter,
}

struct Formatter {
    unit: &'static str,
    /// Operations per second.
    peak: f64,
}

/// Products of floats.
pub fn floats() -> Criterion<OfPeak> {
    of_peak("GFLOP/s", 1.0)
}

/// Products of integers: twice as many could be done.
pub fn integers() -> Criterion<OfPeak> {
    of_peak("GOP/s", 2.0)
}

fn of_peak(unit: &'static str, times: f64) -> Criterion<OfPeak> {
    // Once a process, so that all lines are fractions of the same.
    static PEAK: OnceLock<f64> = OnceLock::new();
    let peak = times * PEAK.get_or_init(peak::float_peak);
    Criterion::default().with_measurement(OfPeak { formatter: Formatter { unit, peak } })
}

impl Measurement for OfPeak {
    type Intermediate = <WallTime as Measurement>::Intermediate;
    type Value = <WallTime as Measurement>::Value;

    fn start(&self) -> Self::Intermediate {
        WallTime.start()
    }

    fn end(&self, start: Self::Intermediate) -> Self::Value {
        WallTime.end(start)
    }

    fn add(&self, a: &Self::Value, b: &Self::Value) -> Self::Value {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Self::Value {
        WallTime.zero()
    }

    fn to_f64(&self, value: &Self::Value) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &self.formatter
    }
}

impl ValueFormatter for Formatter {
    fn format_throughput(&self, throughput: &Throughput, nanoseconds: f64) -> String {
        let Throughput::Elements(operations) = throughput else {
            return WallTime.formatter().format_throughput(throughput, nanoseconds);
        };
        let rate = *operations as f64 / nanoseconds; // per nanosecond, that is 10^9 a second
        format!("{rate:.1} {} ({:.2} of peak)", self.unit, rate * 1e9 / self.peak)
    }

    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(&self, typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_throughputs(typical, throughput, values)
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
