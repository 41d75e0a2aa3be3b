//! What ops ask of a GPU, checked without one: every dispatch of every preset against naga's view of its shader and WebGPU's least limits.

use std::collections::{BTreeSet, HashSet};

use inkling_core::ModelConfig;
use inkling_core::gpu::dispatch::{MAX_WORKGROUPS, Source};
use inkling_core::gpu::{Capabilities, Dispatch, Kernels};
use inkling_core::nn::Generation;
use inkling_core::presets;
use inkling_core::program::{DType, Pass, Precision, Program};
use inkling_core::train::{self, TrainConfig};
use naga::back::pipeline_constants::process_overrides;
use naga::valid::{Capabilities as NagaCapabilities, GlobalUse, ValidationFlags, Validator};
use naga::{AddressSpace, Block, Expression, Handle, Module, ShaderStage, Statement};

use crate::variants::variants;

/// The programs of a preset: training (with a moving average, in float32 and in mixed precision) and generation.
fn programs(model: &ModelConfig, settings: &TrainConfig) -> Vec<Program> {
    let mut all = Vec::new();
    for precision in [train::TrainingPrecision::F32, train::TrainingPrecision::F16] {
        let settings = TrainConfig { ema_decay: 0.99, precision, ..settings.clone() };
        all.push(train::record(model, &settings).unwrap().0);
    }
    for precision in Precision::ALL {
        all.push(Generation::record(model, precision).unwrap().0);
    }
    all
}

#[test]
fn every_dispatch_of_every_preset_fits_its_shader_and_every_adapter() {
    let mut seen = HashSet::new();
    // GPT-2 too, whose logits come in chunks, on more tokens than a preset has.
    let gpt2 = ModelConfig {
        vocab_size: 50_257,
        n_positions: 1024,
        n_embd: 768,
        n_layer: 1,
        n_head: 12,
        n_kv_head: 12,
        n_inner: 3072,
        dropout: 0.1,
        ..ModelConfig::default()
    };
    let gpt2 = (gpt2, TrainConfig { batch_size: 32, ..TrainConfig::default() });
    let six_heads = ModelConfig { n_embd: 96, n_head: 6, n_kv_head: 6, dropout: 0.1, ..ModelConfig::default() };
    let variants = variants(&six_heads)
        .into_iter()
        .map(|(_, model)| (model, TrainConfig { recompute: true, ..TrainConfig::default() }));
    let presets = presets::all().into_iter().map(|preset| (preset.model, preset.train));
    for (model, settings) in presets.chain([gpt2]).chain(variants) {
        for program in programs(&model, &settings) {
            let capabilities = Capabilities { shader_f16: true, ..Capabilities::least() };
            for pass in Pass::ALL {
                for op in program.ops(pass) {
                    let mut kernels = Kernels::new(&program, &capabilities);
                    op.gpu(&mut kernels);
                    for dispatch in kernels.dispatches() {
                        check_grid(dispatch);
                        if seen.insert(format!("{dispatch:?}")) {
                            check(&program, dispatch);
                        }
                    }
                }
            }
        }
    }
}

fn check_grid(dispatch: &Dispatch) {
    assert!(dispatch.workgroups.iter().all(|&n| (1..=MAX_WORKGROUPS as u32).contains(&n)), "{dispatch:?}");
}

fn check(program: &Program, dispatch: &Dispatch) {
    let what = format!("{}.wgsl, {}", dispatch.shader.name, dispatch.entry);
    let interface = dispatch.shader.interface();
    let types: Vec<(String, DType)> = (dispatch.bindings.iter())
        .filter_map(|&(name, source)| {
            let declared = interface.bindings.iter().find(|b| b.name == name);
            let alias = declared.unwrap_or_else(|| panic!("{what}: no binding {name}")).alias.clone()?;
            let dtype = if let Source::Tensor(tensor) = source { program.dtype(tensor) } else { DType::F32 };
            Some((alias, dtype))
        })
        .filter(|(_, dtype)| *dtype == DType::F16)
        .collect();
    let source_text = dispatch.shader.module(&types);
    let module = naga::front::wgsl::parse_str(&source_text)
        .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(&source_text)));
    let mut validator = Validator::new(
        ValidationFlags::all(),
        NagaCapabilities::SHADER_FLOAT16 | NagaCapabilities::SHADER_FLOAT16_IN_FLOAT32,
    );
    let info = validator.validate(&module).unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(&source_text)));
    let constants = dispatch.constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let entry = Some((ShaderStage::Compute, dispatch.entry));
    let (module, info) = process_overrides(&module, &info, entry, &constants).unwrap_or_else(|e| panic!("{what}: {e}"));
    let index = module.entry_points.iter().position(|e| e.name == dispatch.entry).unwrap();
    let (entry, uses) = (&module.entry_points[index], info.get_entry_point(index));

    let invocations: u32 = entry.workgroup_size.iter().product();
    let least = Capabilities::least();
    assert!(invocations <= least.max_invocations, "{what}: {invocations} invocations");
    let mut workgroup_memory = 0;
    let mut storage = 0;
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    for (handle, variable) in module.global_variables.iter().filter(|(handle, _)| !uses[*handle].is_empty()) {
        let name = variable.name.as_deref().unwrap_or_default();
        match variable.space {
            AddressSpace::WorkGroup => workgroup_memory += layouter[variable.ty].size.next_multiple_of(16),
            AddressSpace::Storage { .. } => {
                storage += 1;
                let bound = dispatch.bindings.iter().find(|(bound, _)| *bound == name);
                let (_, source) = bound.unwrap_or_else(|| panic!("{what}: {name} is used and not bound"));
                let assigned = dispatch.assigned.contains(&name);
                // naga does not know which branches a constant closes: a kernel that can accumulate has a read that it may not reach.
                let accumulates = source_text.contains("override ACCUMULATE");
                if *source != Source::Nothing && !accumulates {
                    let written = uses[handle].contains(GlobalUse::WRITE);
                    let read = uses[handle].contains(GlobalUse::READ);
                    assert_eq!(assigned, written && !read, "{what}: {name} assigned");
                }
            }
            AddressSpace::Uniform if name == "params" => {
                for field in fields_read(&module, &entry.function, handle) {
                    let (field, _) = &interface.params[field as usize];
                    let given = dispatch.params.iter().any(|(given, _)| given == field);
                    assert!(given, "{what}: the parameter {field} is read and not given");
                }
            }
            _ => {}
        }
    }
    assert!(workgroup_memory <= least.max_workgroup_memory, "{what}: {workgroup_memory} bytes of workgroup memory");
    assert!(storage <= 8 && dispatch.bindings.len() <= 8, "{what}: more than 8 storage buffers");
}

/// Which fields of a uniform struct a function and those that it calls read.
fn fields_read(module: &Module, function: &naga::Function, uniform: Handle<naga::GlobalVariable>) -> BTreeSet<u32> {
    let mut fields = BTreeSet::new();
    let mut waiting = vec![function];
    let mut seen = HashSet::new();
    while let Some(function) = waiting.pop() {
        for (_, expression) in function.expressions.iter() {
            if let Expression::AccessIndex { base, index } = *expression
                && matches!(function.expressions[base], Expression::GlobalVariable(handle) if handle == uniform)
            {
                fields.insert(index);
            }
        }
        let mut calls = Vec::new();
        collect_calls(&function.body, &mut calls);
        waiting.extend(calls.into_iter().filter(|call| seen.insert(*call)).map(|call| &module.functions[call]));
    }
    fields
}

fn collect_calls(block: &Block, calls: &mut Vec<Handle<naga::Function>>) {
    for statement in block.iter() {
        match statement {
            Statement::Call { function, .. } => calls.push(*function),
            Statement::Block(block) => collect_calls(block, calls),
            Statement::If { accept, reject, .. } => [accept, reject].into_iter().for_each(|b| collect_calls(b, calls)),
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| collect_calls(&case.body, calls)),
            Statement::Loop { body, continuing, .. } => {
                [body, continuing].into_iter().for_each(|b| collect_calls(b, calls));
            }
            _ => {}
        }
    }
}
