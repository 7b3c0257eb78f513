//! One function: how many values its instructions handle, and how much lives where its control flow
//! parts and joins.

use wasmtime::wasmparser::{
    BlockType, ContType, FrameKind, FuncType, FunctionBody, ModuleArity, Operator, RefType, SubType,
};

use super::limits::{FLOW, FREE_VALUES, FUNCTION_FLOW, FUNCTION_VALUES, LOOPED_LOCALS};
use super::malformed;
use super::module::{Arity, CoreModule, Totals};
use ztlib_contract::engine::EngineError;

/// A block that is open.
struct Frame {
    is_loop: bool,
    arity: Arity,
    /// How many values lie under it.
    base: u64,
}

impl Frame {
    /// How many values a branch to it carries.
    fn label(&self) -> u64 {
        if self.is_loop { self.arity.0 } else { self.arity.1 }
    }
}

/// A function while it is gone through. It is not validated yet: what would be wrong in it is taken
/// for nothing here, and refused later.
struct Body<'m> {
    module: &'m CoreModule,
    frames: Vec<Frame>,
    /// Values on the stack.
    height: u64,
    /// Values that instructions take and give, beyond those that are free.
    values: u64,
    /// Places where the control flow parts or joins, and the values on the stack at all of them
    /// together.
    places: u64,
    waiting: u64,
    loops: u64,
    deepest: u64,
    /// Instructions that use locals.
    uses: u64,
}

impl CoreModule {
    pub(crate) fn weigh_body(
        &self,
        index: u32,
        body: &FunctionBody<'_>,
        totals: &mut Totals,
    ) -> Result<(), EngineError> {
        let mut locals = 0_u64;
        for group in body.get_locals_reader().map_err(|error| malformed(&error))? {
            let (count, _) = group.map_err(|error| malformed(&error))?;
            locals = locals.saturating_add(count.into());
        }
        totals.locals = totals.locals.saturating_add(locals);
        let arity = self.function(index);
        let mut weighed = Body {
            module: self,
            frames: vec![Frame { is_loop: false, arity: (0, arity.1), base: 0 }],
            height: 0,
            values: 0,
            places: 0,
            waiting: 0,
            loops: 0,
            deepest: 0,
            uses: 0,
        };
        for operator in body.get_operators_reader().map_err(|error| malformed(&error))? {
            weighed.look(&operator.map_err(|error| malformed(&error))?);
            // As soon as it is too much: what follows may be long.
            FUNCTION_VALUES.check(weighed.values)?;
        }
        LOOPED_LOCALS.check(weighed.deepest.saturating_mul(locals))?;
        let living = locals.saturating_add(arity.0).min(weighed.uses);
        let flow = weighed.places.saturating_mul(living).saturating_add(weighed.waiting);
        FUNCTION_FLOW.check(flow)?;
        totals.flow = totals.flow.saturating_add(flow);
        FLOW.check(totals.flow)?;
        totals.values = totals.values.saturating_add(weighed.values);
        Ok(())
    }
}

impl Body<'_> {
    fn look(&mut self, operator: &Operator<'_>) {
        use Operator as Op;
        match operator {
            Op::Block { blockty } => self.open(*blockty, false),
            Op::Loop { blockty } => self.open(*blockty, true),
            Op::If { blockty } => {
                self.step((1, 0));
                self.open(*blockty, false);
            }
            Op::Else => {
                if let Some(frame) = self.frames.last() {
                    let (base, arity) = (frame.base, frame.arity);
                    self.height = base.saturating_add(arity.0);
                    self.handle(arity);
                }
                self.place(1);
            }
            Op::End => {
                if let Some(frame) = self.frames.pop() {
                    self.loops = self.loops.saturating_sub(frame.is_loop.into());
                    self.height = frame.base.saturating_add(frame.arity.1);
                    self.handle((frame.arity.1, frame.arity.1));
                }
                self.place(1);
            }
            Op::Br { relative_depth } => self.branch([*relative_depth]),
            Op::BrIf { relative_depth } => {
                let label = self.label(*relative_depth);
                self.handle((label, 1));
                self.height = self.height.saturating_sub(1);
                self.place(1);
            }
            Op::BrTable { targets } => {
                self.height = self.height.saturating_sub(1);
                self.branch(targets.targets().flatten().chain([targets.default()]));
            }
            Op::Return => {
                let results = self.frames.first().map_or(0, |frame| frame.arity.1);
                self.handle((results, 0));
                self.leave();
            }
            Op::Unreachable => self.leave(),
            Op::Call { function_index } => self.step(self.module.function(*function_index)),
            Op::CallIndirect { type_index, .. } => {
                let (parameters, results) = self.module.type_at(*type_index);
                self.step((parameters.saturating_add(1), results));
            }
            Op::ReturnCall { function_index } => {
                self.handle(self.module.function(*function_index));
                self.leave();
            }
            Op::ReturnCallIndirect { type_index, .. } => {
                self.handle(self.module.type_at(*type_index));
                self.leave();
            }
            other => {
                let uses_local =
                    matches!(other, Op::LocalGet { .. } | Op::LocalSet { .. } | Op::LocalTee { .. });
                self.uses = self.uses.saturating_add(uses_local.into());
                // What is not known here is of a proposal that is not enabled, and is refused for
                // that.
                let (parameters, results) = other.operator_arity(&Fixed).unwrap_or((0, 1));
                self.step((parameters.into(), results.into()));
            }
        }
    }

    fn arity(&self, block: BlockType) -> Arity {
        match block {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => self.module.type_at(index),
        }
    }

    fn open(&mut self, block: BlockType, is_loop: bool) {
        let arity = self.arity(block);
        self.handle(arity);
        self.frames.push(Frame { is_loop, arity, base: self.height.saturating_sub(arity.0) });
        self.loops = self.loops.saturating_add(is_loop.into());
        self.deepest = self.deepest.max(self.loops);
        self.place(1);
    }

    fn label(&self, depth: u32) -> u64 {
        self.frames.iter().rev().nth(depth as usize).map_or(0, Frame::label)
    }

    /// Leaves for one of these labels, with the values of each.
    fn branch(&mut self, labels: impl IntoIterator<Item = u32>) {
        for label in labels {
            let values = self.label(label);
            self.handle((values, 0));
            self.place(1);
        }
        self.leave();
    }

    /// What follows cannot be reached, until the block ends.
    fn leave(&mut self) {
        self.height = self.frames.last().map_or(0, |frame| frame.base);
    }

    fn place(&mut self, count: u64) {
        self.places = self.places.saturating_add(count);
        self.waiting = self.waiting.saturating_add(self.height);
    }

    fn step(&mut self, (parameters, results): Arity) {
        self.handle((parameters, results));
        self.height = self.height.saturating_sub(parameters).saturating_add(results);
    }

    fn handle(&mut self, (parameters, results): Arity) {
        let values = parameters.saturating_add(results).saturating_sub(FREE_VALUES);
        self.values = self.values.saturating_add(values);
    }
}

/// No module: only instructions whose arity is fixed are asked about.
struct Fixed;

impl ModuleArity for Fixed {
    fn sub_type_at(&self, _: u32) -> Option<&SubType> {
        None
    }

    fn tag_type_arity(&self, _: u32) -> Option<(u32, u32)> {
        None
    }

    fn type_index_of_function(&self, _: u32) -> Option<u32> {
        None
    }

    fn func_type_of_cont_type(&self, _: &ContType) -> Option<&FuncType> {
        None
    }

    fn sub_type_of_ref_type(&self, _: &RefType) -> Option<&SubType> {
        None
    }

    fn control_stack_height(&self) -> u32 {
        0
    }

    fn label_block(&self, _: u32) -> Option<(BlockType, FrameKind)> {
        None
    }
}
