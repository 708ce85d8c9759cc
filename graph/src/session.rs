//! A model ready to run.

use crate::check;
use crate::dim::{self, Dim};
use crate::error::{Error, Failure};
use crate::exec::{self, Memory};
use crate::infer::{self, Limit};
use crate::ir::{Model, Node, Op, Port, PortDim};
use crate::padding::Padding;
use crate::passes;
use crate::passes::stack::{self, FEEDS, Stacked};
use crate::plan::{Buffer, Plan, Step};
use crate::pool::Pool;
use crate::profile::Region;
use crate::tensor::{Data, TensorView};
use crate::weights::{Aligned, Halves, Integers, Weights};
use fourlane_kernels::gemm_int8::Mode as IntegerMode;

/// Runs one model. Shapes may change from call to call: the first call of a shape plans it, later ones find the plan.
/// From then on a run allocates nothing.
pub struct Session {
    model: Model,
    /// The same without work on padding, for masks that allow it.
    stacked: Option<Stacked>,
    weights: Weights,
    symbols: Vec<String>,
    limits: Vec<Limit>,
    /// The one used last behind all others.
    plans: Vec<Cached>,
    arena: Aligned,
    /// Whether floats are computed as onnxruntime does.
    literal: bool,
    pool: Pool,
    fused: Vec<(&'static str, usize)>,
}

/// A plan with the shapes of the inputs that it is for; of the stacked model, if there is a number of tokens.
struct Cached {
    shapes: Vec<Vec<usize>>,
    tokens: Option<usize>,
    plan: Plan,
}

/// Plans of so many shapes are kept; the one not used for longest makes room.
const MAX_PLANS: usize = 64;

/// What a session can tell about itself, for people.
#[derive(Clone, Debug)]
pub struct Report {
    /// `(operator, count)` of the nodes that run, most frequent first.
    pub operators: Vec<(String, usize)>,
    /// `(pass, rewrites)` for each pass that found something.
    pub passes: Vec<(&'static str, usize)>,
    /// Bytes of the constants as they are kept in memory.
    pub weight_bytes: usize,
    /// `(mode, weights)` for each way in which weights are multiplied as integers; see [`IntegerMode`].
    pub integer_modes: Vec<(&'static str, usize)>,
}

/// What one shape costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeReport {
    /// Steps of the plan.
    pub steps: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
}

/// How a session is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether the passes run. Without them the model is executed operator by operator, as the file has it: slow, and
    /// what the passes are tested against.
    pub optimize: bool,
    /// Whether the graph is followed to the letter: one range per tensor where a model is quantised dynamically, as ONNX
    /// defines it, and floats with the bits that onnxruntime gives them ([`fourlane_kernels::literal`]), operator by
    /// operator, but for models in half floats; and everything is computed, on padding and for tokens that nothing reads,
    /// too. Otherwise each row (token) has a range of its own, which is closer to the model before quantisation, and a text
    /// costs and gives what it does alone and without padding.
    pub literal: bool,
    /// Whether rows may be quantised to 7 bits instead of 8 where that is faster. Not if `literal`.
    pub fast: bool,
    /// How integers are multiplied. `None`: the way that is fastest on this engine for each weight. All give the same
    /// bits; a forced one is for tests and measurements.
    pub integer_mode: Option<IntegerMode>,
    /// Whether weights that are f16 or bf16 in the file become f32, which takes twice the memory; the results are the
    /// same. In V8 products take 1.03 times as long with halves for 128 rows, 1.3 times for 16, 3 times for one.
    pub expand_halves: bool,
    /// How many threads of its own the session runs on; results are the same for any number. 0, the default: none, it
    /// runs on the thread that calls, and if that is one of a rayon pool, the others of the pool share the work. Without
    /// the cargo feature `threads` only 0 and 1 are possible.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { optimize: true, literal: false, fast: false, integer_mode: None, expand_halves: false, threads: 0 }
    }
}

impl Session {
    /// Improves the model, packs its weights and checks that every operator can run.
    ///
    /// # Errors
    /// [`Error::InvalidModel`] and [`Error::Unsupported`], naming the node; [`Error::WrongMode`]; [`Error::NoThreads`].
    pub fn new(model: Model) -> Result<Session, Error> {
        Session::with_options(model, Options::default())
    }

    /// As [`Session::new`], with options.
    ///
    /// # Errors
    /// As there.
    pub fn with_options(mut model: Model, options: Options) -> Result<Session, Error> {
        check::check(&model)?;
        let literal = passes::is_literal(&model, &options);
        let fused = match options.optimize {
            true => passes::run(&mut model, &options)?,
            false => passes::run_required(&mut model, literal)?,
        };
        let mut limits: Vec<Limit> = Vec::new();
        for limit in infer::symbolic(&model)?.limits {
            match limits.iter_mut().find(|known| known.0 == limit.0) {
                Some(known) if known.1 > limit.1 => *known = limit,
                Some(_) => {}
                None => limits.push(limit),
            }
        }
        let symbols = infer::symbols(&model);
        let mut stacked = if options.optimize && !options.literal { stack::run(&model)? } else { None };
        let integers = Integers::new(&options)?;
        let halves = if options.expand_halves { Halves::Expanded } else { Halves::Kept };
        let weights = take_weights(&mut model, stacked.as_mut().map(|stacked| &mut stacked.model), integers, halves)?;
        let (plans, arena, pool) = (Vec::new(), Aligned::default(), Pool::new(options.threads)?);
        let session = Session { model, stacked, weights, symbols, limits, plans, arena, literal, pool, fused };
        // What the smallest shape cannot do, no shape can: better said now than at the first text.
        session.plan(&vec![1; session.symbols.len()], None)?;
        Ok(session)
    }

    /// The model's inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.model.inputs
    }

    /// The model's outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.model.outputs
    }

    /// The longest that the dimension `axis` of input `name` can be, if the model says.
    pub fn max_len(&self, name: &str, axis: usize) -> Option<usize> {
        let port = self.model.inputs.iter().find(|p| p.name == name)?;
        match port.dims.as_ref()?.get(axis)? {
            PortDim::Fixed(n) => Some(*n),
            PortDim::Symbol(symbol) => {
                let index = self.symbols.iter().position(|s| s == symbol)?;
                self.limits.iter().find(|l| l.0 as usize == index).map(|l| l.1)
            }
        }
    }

    /// Runs the model. `inputs` are all of the model's inputs, in any order.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::MissingInput`], [`Error::WrongType`], [`Error::WrongShape`] before anything
    /// runs; [`Error::IndexOutOfRange`] when an id is over a table. The session can be used again after each.
    pub fn run(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Outputs<'_>, Error> {
        let pool = self.pool.clone();
        let index = pool.run(|| self.execute(inputs, &mut exec::run).map(|outputs| outputs.index))?;
        Ok(Outputs { session: self, index })
    }

    /// Runs `step` on each step, on this thread.
    pub(crate) fn execute(
        &mut self,
        inputs: &[(&str, TensorView<'_>)],
        step: &mut dyn FnMut(&Node, &Step, &Memory<'_>) -> Result<(), Failure>,
    ) -> Result<Outputs<'_>, Failure> {
        let index = self.prepare(inputs)?;
        let padding = self.padding(inputs);
        let Session { model, stacked, weights, plans, arena, literal, .. } = self;
        let Cached { plan, tokens, .. } = &plans[index];
        for (port, view) in model.inputs.iter().zip(&plan.inputs) {
            if let Some(tensor) = find(inputs, &port.name) {
                arena.bytes_mut()[view.range()].copy_from_slice(tensor.data.bytes());
            }
        }
        let model = match (tokens, padding, stacked) {
            (Some(_), Some(padding), Some(stacked)) => {
                for ((_, feed), view) in FEEDS.iter().zip(&plan.inputs[model.inputs.len()..]) {
                    padding.fill(*feed, bytemuck::cast_slice_mut(&mut arena.bytes_mut()[view.range()]));
                }
                &stacked.model
            }
            _ => &*model,
        };
        let memory = Memory::new(arena.bytes_mut(), weights, plan, *literal);
        for next in &plan.steps {
            step(&model.nodes[next.node], next, &memory)?;
        }
        Ok(Outputs { session: self, index })
    }

    /// Checks the inputs and returns the index of the plan for their shapes.
    fn prepare(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<usize, Failure> {
        for (name, _) in inputs {
            if !self.model.inputs.iter().any(|p| p.name == *name) {
                return Err(Error::UnknownInput { name: (*name).into(), known: names(&self.model.inputs) }.into());
            }
        }
        for port in &self.model.inputs {
            let tensor = fed(port, &self.model.inputs, inputs)?;
            let wrong = |reason| wrong_shape(port, tensor, reason);
            let count = tensor.shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
            if count != Some(tensor.data.len()) {
                return Err(wrong(format!("its data has {} elements", tensor.data.len())));
            }
            if count == Some(0) {
                return Err(wrong("every dimension must be at least 1".into()));
            }
        }
        let tokens = self.padding(inputs).and_then(|padding| padding.tokens());
        // An arena that could not be had leaves plans that do not fit.
        let fits = |c: &Cached| {
            let is_alike = |(port, shape): (&Port, &Vec<usize>)| {
                find(inputs, &port.name).is_some_and(|given| given.shape == shape)
            };
            c.tokens == tokens
                && c.plan.arena <= self.arena.bytes().len()
                && self.model.inputs.iter().zip(&c.shapes).all(is_alike)
        };
        if let Some(index) = self.plans.iter().position(fits) {
            // The last is the one used last.
            let found = self.plans.remove(index);
            self.plans.push(found);
            return Ok(self.plans.len() - 1);
        }
        let values = self.symbol_values(inputs)?;
        let plan = self.plan(&values, tokens)?;
        if plan.arena > self.arena.bytes().len() {
            // The old arena goes first, so that both never exist; if the new one cannot be had, the next call retries.
            self.arena = Aligned::default();
            self.arena = Aligned::new(plan.arena)?;
        }
        if self.plans.len() >= MAX_PLANS {
            self.plans.remove(0);
        }
        let mut shapes = Vec::with_capacity(inputs.len());
        for port in &self.model.inputs {
            shapes.extend(find(inputs, &port.name).map(|tensor| tensor.shape.to_vec()));
        }
        self.plans.push(Cached { shapes, tokens, plan });
        Ok(self.plans.len() - 1)
    }

    /// What each symbol is in these inputs.
    fn symbol_values(&self, inputs: &[(&str, TensorView<'_>)]) -> Result<Vec<usize>, Failure> {
        let mut values = vec![1; self.symbols.len()];
        // The input that has said so.
        let mut sources: Vec<Option<&str>> = vec![None; self.symbols.len()];
        for port in &self.model.inputs {
            let Some(tensor) = find(inputs, &port.name) else { continue };
            let wrong = |reason| wrong_shape(port, tensor, reason);
            let dims = port.dims.as_deref().unwrap_or(&[]);
            if dims.len() != tensor.shape.len() {
                return Err(wrong(format!("the model wants {}", show_dims(dims))));
            }
            for (dim, &size) in dims.iter().zip(tensor.shape) {
                let PortDim::Symbol(name) = dim else {
                    if *dim != PortDim::Fixed(size) {
                        return Err(wrong(format!("the model wants {}", show_dims(dims))));
                    }
                    continue;
                };
                let Some(index) = self.symbols.iter().position(|s| s == name) else { continue };
                if let Some(limit) = self.limits.iter().find(|l| l.0 as usize == index && size > l.1) {
                    return Err(wrong(format!("'{name}' can be {} at most (node '{}')", limit.1, limit.2)));
                }
                match sources[index] {
                    Some(from) if values[index] != size => {
                        return Err(wrong(format!("'{name}' is {} in input '{from}'", values[index])));
                    }
                    _ => (values[index], sources[index]) = (size, Some(port.name.as_str())),
                }
            }
        }
        Ok(values)
    }

    /// What the inputs say about padding, if there is a model that cares.
    fn padding<'a>(&self, inputs: &[(&str, TensorView<'a>)]) -> Option<Padding<'a>> {
        let stacked = self.stacked.as_ref()?;
        let given = |i: usize| find(inputs, &self.model.inputs[i].name);
        let &[texts, seq] = given(stacked.grid)?.shape else { return None };
        let flags = match stacked.mask {
            Some(mask) => Some(given(mask).filter(|mask| mask.shape == [texts, seq])?.data),
            None => None,
        };
        Some(Padding { flags, texts, seq })
    }

    /// The plan for these symbol values, of the stacked model if there is a number of tokens.
    fn plan(&self, values: &[usize], tokens: Option<usize>) -> Result<Plan, Failure> {
        let mut values = dim::of_sizes(values);
        values.extend(tokens.map(Dim::from));
        let model = match (&self.stacked, tokens) {
            (Some(stacked), Some(_)) => &stacked.model,
            _ => &self.model,
        };
        Plan::new(model, &infer::infer(model, &values)?, &self.weights)
    }

    /// Whether what is in one row of a batch, padding included, changes the results of others, because a range of
    /// quantisation is taken over all.
    pub fn shares_ranges(&self) -> bool {
        self.model.nodes.iter().any(|node| matches!(node.op, Op::DynamicQuantizeLinear))
    }

    /// What was done to the model and what it costs.
    pub fn report(&self) -> Report {
        let mut operators: Vec<(String, usize)> = Vec::new();
        let model = self.stacked.as_ref().map_or(&self.model, |stacked| &stacked.model);
        for node in &model.nodes {
            let name = node.op.name();
            match operators.iter_mut().find(|(n, _)| *n == name) {
                Some((_, count)) => *count += 1,
                None => operators.push((name, 1)),
            }
        }
        operators.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Report {
            operators,
            passes: self.fused.clone(),
            weight_bytes: self.weights.len(),
            integer_modes: self.integer_modes(),
        }
    }

    /// `(mode, weights)` for each way in which weights are multiplied as integers; see [`IntegerMode`].
    pub fn integer_modes(&self) -> Vec<(&'static str, usize)> {
        self.weights.modes()
    }

    /// What a run costs whose free dimensions have these sizes (by symbol name; 1 for those not given).
    ///
    /// # Errors
    /// As [`Session::run`] for inputs of that shape.
    pub fn shape_report(&self, sizes: &[(&str, usize)]) -> Result<ShapeReport, Error> {
        let size = |name: &String| sizes.iter().find(|(n, _)| n == name).map_or(1, |(_, size)| *size);
        let values: Vec<usize> = self.symbols.iter().map(size).collect();
        let plan = self.plan(&values, self.all_tokens(&values))?;
        Ok(ShapeReport { steps: plan.steps.len(), arena_bytes: plan.arena })
    }

    /// How many tokens a batch has in which there is no padding.
    fn all_tokens(&self, values: &[usize]) -> Option<usize> {
        let port = &self.model.inputs[self.stacked.as_ref()?.grid];
        let size = |dim: &PortDim| match dim {
            PortDim::Fixed(n) => Some(*n),
            PortDim::Symbol(name) => values.get(self.symbols.iter().position(|s| s == name)?).copied(),
        };
        port.dims.as_ref()?.iter().map(size).try_fold(1, |product: usize, size| product.checked_mul(size?))
    }

    /// Bytes of memory held now: weights, arena and the numbers of plans.
    pub fn memory_bytes(&self) -> usize {
        let mut bytes = self.weights.len() + self.arena.bytes().len();
        self.plans.iter().for_each(|cached| bytes += cached.plan.constants.bytes().len());
        bytes
    }
}

/// The tensor of this name.
fn find<'t, 'a>(inputs: &'t [(&str, TensorView<'a>)], name: &str) -> Option<&'t TensorView<'a>> {
    inputs.iter().find(|(given, _)| *given == name).map(|(_, tensor)| tensor)
}

/// The tensor that a call gives for `port`, one of `ports`, of the type that it wants.
pub(crate) fn fed<'t, 'a>(
    port: &Port,
    ports: &[Port],
    inputs: &'t [(&str, TensorView<'a>)],
) -> Result<&'t TensorView<'a>, Failure> {
    let name = || port.name.clone();
    let Some(tensor) = find(inputs, &port.name) else {
        return Err(Error::MissingInput { name: name(), known: names(ports) }.into());
    };
    let (given, wanted) = (tensor.data.dtype(), port.dtype.runtime());
    if given != wanted {
        return Err(Error::WrongType { name: name(), given: given.name(), wanted: wanted.name() }.into());
    }
    Ok(tensor)
}

fn names(ports: &[Port]) -> String {
    let mut names = String::new();
    for port in ports {
        names.push_str(if names.is_empty() { "'" } else { ", '" });
        names.push_str(&port.name);
        names.push('\'');
    }
    names
}

fn wrong_shape(port: &Port, tensor: &TensorView, reason: String) -> Failure {
    Error::WrongShape { name: port.name.clone(), given: infer::show_sizes(tensor.shape), reason }.into()
}

/// Packs the constants that two forms of a model read, each once.
fn take_weights(
    model: &mut Model,
    stacked: Option<&mut Model>,
    integers: Integers,
    halves: Halves,
) -> Result<Weights, Failure> {
    let Some(stacked) = stacked else { return Weights::take(model, integers, halves) };
    let count = model.nodes.len();
    // One list of nodes for a moment, since a constant is let go when its readers have theirs.
    model.nodes.append(&mut stacked.nodes);
    model.constants.extend(std::mem::take(&mut stacked.constants));
    let weights = Weights::take(model, integers, halves)?;
    stacked.nodes = model.nodes.split_off(count);
    stacked.constants = model.constants.clone();
    Ok(weights)
}

/// The results of a run, in the session's memory until its next run.
pub struct Outputs<'s> {
    session: &'s Session,
    index: usize,
}

impl<'s> Outputs<'s> {
    /// The output called `name`.
    pub fn get(&self, name: &str) -> Option<TensorView<'s>> {
        let index = self.session.model.outputs.iter().position(|port| port.name == name)?;
        Some(output(self.session, self.index, index).1)
    }

    /// Where the values of the run were in the arena, and when; see [`Region`].
    pub fn regions(&self) -> Vec<Region> {
        self.session.plans[self.index].plan.regions()
    }

    /// All outputs in the model's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'s str, TensorView<'s>)> + use<'s> {
        let (session, run) = (self.session, self.index);
        (0..session.model.outputs.len()).map(move |index| output(session, run, index))
    }
}

/// An output of the last run, of the plan at index `run`.
fn output(session: &Session, run: usize, index: usize) -> (&str, TensorView<'_>) {
    let plan = &session.plans[run].plan;
    let view = &plan.outputs[index];
    let bytes = match view.buffer {
        Buffer::Arena => &session.arena.bytes()[view.range()],
        Buffer::Weight(slot) => session.weights.data(slot),
        Buffer::Plan => &plan.constants.bytes()[view.range()],
    };
    (&session.model.outputs[index].name, TensorView { shape: &view.shape, data: Data::new(view.dtype, bytes) })
}

fn show_dims(dims: &[PortDim]) -> String {
    infer::list(dims.len(), &|i| match &dims[i] {
        PortDim::Fixed(n) => n.to_string(),
        PortDim::Symbol(name) => name.clone(),
    })
}
