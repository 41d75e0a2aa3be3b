//! The shaders without a GPU: naga parses and validates each, and agrees with what Rust reads from the source.

use inkling_core::gpu::shader::{ALL, Access, ParamType, Shader};
use inkling_core::program::DType;
use naga::{AddressSpace, ScalarKind, StorageAccess, TypeInner};

fn parse(shader: &Shader, types: &[(String, DType)]) -> naga::Module {
    let source = shader.module(types);
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{}.wgsl:\n{}", shader.name, e.emit_to_string(&source)));
    // The second is core WebGPU: float16 packed into words.
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16 | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}.wgsl:\n{}", shader.name, e.emit_to_string(&source)));
    module
}

fn aliases(shader: &Shader) -> Vec<String> {
    shader.interface().bindings.into_iter().filter_map(|b| b.alias).collect()
}

#[test]
fn every_shader_is_valid_with_float32_and_float16_tensors() {
    for shader in ALL {
        parse(shader, &[]);
        let half: Vec<_> = aliases(shader).into_iter().map(|alias| (alias, DType::F16)).collect();
        parse(shader, &half);
    }
}

#[test]
fn bindings_and_parameters_are_read_as_naga_reads_them() {
    for shader in ALL {
        let module = parse(shader, &[]);
        let interface = shader.interface();
        let mut storage = 0;
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            assert_eq!(binding.group, 0);
            let name = variable.name.as_deref().unwrap();
            match variable.space {
                AddressSpace::Storage { access } => {
                    storage += 1;
                    let found = interface.bindings.iter().find(|b| b.name == name);
                    let found = found.unwrap_or_else(|| panic!("{}: {name} was not read", shader.name));
                    let writes = access.contains(StorageAccess::STORE);
                    assert_eq!(found.access == Access::ReadWrite, writes, "{}: access of {name}", shader.name);
                    assert_eq!(found.binding, binding.binding, "{}: number of {name}", shader.name);
                    assert!((2..16).contains(&binding.binding), "{}: {name}: 0 and 1 are uniforms", shader.name);
                }
                AddressSpace::Uniform => {
                    assert_eq!(binding.binding, u32::from(name == "params"), "{}: {name}", shader.name);
                }
                _ => {}
            }
        }
        assert_eq!(storage, interface.bindings.len(), "{}: bindings", shader.name);
        let params = fields(&module, "Params").unwrap_or_default();
        assert_eq!(params, interface.params, "{}: Params", shader.name);
    }
}

#[test]
fn the_step_has_the_fields_of_the_uniform() {
    let module = parse(&ALL[0], &[]);
    let source = include_str!("../../../kernels/src/step.rs");
    let (_, uniform) = source.split_once("pub struct StepUniform {").unwrap();
    let fields_in_rust: Vec<_> = uniform
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with('}'))
        .filter_map(|line| line.trim_end_matches(',').split_once(": "))
        .filter(|(_, ty)| ["u32", "f32"].contains(ty))
        .map(|(name, ty)| (name.to_owned(), if ty == "u32" { ParamType::U32 } else { ParamType::F32 }))
        .collect();
    assert_eq!(fields(&module, "Step").unwrap(), fields_in_rust);
}

/// The fields of a struct of 4-byte scalars, each right after the one before.
fn fields(module: &naga::Module, name: &str) -> Option<Vec<(String, ParamType)>> {
    let (_, ty) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name))?;
    let TypeInner::Struct { members, .. } = &ty.inner else { panic!("{name} is no struct") };
    let field = |(i, member): (usize, &naga::StructMember)| {
        assert_eq!(member.offset, 4 * i as u32);
        let TypeInner::Scalar(scalar) = module.types[member.ty].inner else { panic!("{name} holds scalars only") };
        let ty = match (scalar.kind, scalar.width) {
            (ScalarKind::Uint, 4) => ParamType::U32,
            (ScalarKind::Float, 4) => ParamType::F32,
            other => panic!("{name}: {other:?}"),
        };
        (member.name.clone().unwrap(), ty)
    };
    Some(members.iter().enumerate().map(field).collect())
}
