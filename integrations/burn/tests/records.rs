//! Records that are saved, loaded into modules and optimizers, or refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use burn_core as burn;
use burn_core::module::{Module, Param, ParamId};
use burn_core::tensor::quantization::QuantScheme;
use burn_core::tensor::{Bool, BoolStore, Bytes, DType, Device, Int, Tensor, TensorData};
use burn_nn::{Linear, LinearConfig, LinearLayout};
use burn_optim::lr_scheduler::LrSchedulerRecord;
use burn_optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn_optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn_optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn_pack::{Reader, Writer};
use checkpointed::{Checkpointer, Protection, checkpointed, inspect};
use checkpointed_burn::{Error, Problem, Record};

#[checkpointed]
struct State {
    record: Record,
}

fn saved_and_loaded(directory: &Path, record: Record) -> Record {
    let mut checkpoints = Checkpointer::<State>::open(directory.join("state.ckpt")).unwrap();
    checkpoints.save(&State { record }).unwrap();
    checkpoints.load().unwrap().unwrap().record
}

/// A record of one tensor, as burn writes it.
fn pack(name: &str, dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Bytes {
    let tensor =
        burn_pack::Tensor::new(name.to_owned(), dtype, shape.to_vec(), Some(7), Bytes::from_bytes_vec(bytes));
    Writer::new(vec![tensor]).with_metadata("a", "b").with_scalar("c", 0.1.into()).into_bytes().unwrap()
}

fn linear(inputs: usize, outputs: usize) -> Linear {
    LinearConfig::new(inputs, outputs).init(&Device::default().autodiff())
}

fn values(module: &Linear) -> Vec<f32> {
    let bias = module.bias.as_ref().unwrap().val();
    [module.weight.val().try_into_vec_as().unwrap(), bias.try_into_vec_as().unwrap()].concat()
}

fn learn(model: Linear, optimizer: &mut ModuleOptimizer) -> Linear {
    let device = Device::default().autodiff();
    let x = Tensor::<2>::from_data([[0.5, -1.0], [2.0, 0.25]], &device);
    let loss = (model.forward(x) - 1.0).square().mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    optimizer.step(0.1, model, gradients)
}

#[test]
fn every_dtype_comes_back_as_an_array_with_its_shape() {
    let dtypes = [
        (DType::F64, "<f8"),
        (DType::F32, "<f4"),
        (DType::Flex32, "<f4"),
        (DType::F16, "<f2"),
        (DType::BF16, "|V2"),
        (DType::I64, "<i8"),
        (DType::I32, "<i4"),
        (DType::I16, "<i2"),
        (DType::I8, "|i1"),
        (DType::U64, "<u8"),
        (DType::U32, "<u4"),
        (DType::U16, "<u2"),
        (DType::U8, "|u1"),
        (DType::Bool(BoolStore::Native), "|u1"),
        (DType::Bool(BoolStore::U8), "|u1"),
        (DType::Bool(BoolStore::U32), "<u4"),
    ];
    for (dtype, name) in dtypes {
        let directory = tempfile::tempdir().unwrap();
        // Bytes of 0 and 1 are good for all of these.
        let bytes: Vec<u8> = (0..12 * dtype.size()).map(|place| u8::from(place % 3 == 0)).collect();
        let packed = pack("w", dtype, &[2, 3, 2], bytes.clone());
        let loaded = saved_and_loaded(directory.path(), Record::from_bytes(packed.clone()).unwrap());
        let loaded = loaded.into_bytes().unwrap();
        assert_eq!(&loaded[..], &packed[..], "{dtype:?}");

        let path = directory.path().join("state.ckpt");
        let file = inspect::newest(path, &Protection::new(), 0).unwrap().unwrap();
        let arrays: Vec<_> = file.arrays().map(|array| array.unwrap()).collect();
        let arrays: Vec<_> =
            arrays.iter().map(|array| (array.part(), array.dtype(), array.shape())).collect();
        assert_eq!(arrays, [("record/tensors/w.npy", name, &[2_u64, 3, 2][..])]);
    }
}

#[test]
fn quantized_tensors_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let packed = pack("head", DType::QFloat(QuantScheme::default()), &[4], vec![0; 8]);
    let mut checkpoints = Checkpointer::<State>::open(directory.path().join("state.ckpt")).unwrap();
    let error =
        checkpoints.save(&State { record: Record::from_bytes(packed).unwrap() }).unwrap_err().to_string();
    assert!(error.contains("quantized tensors cannot be saved"), "{error}");
    assert!(error.contains("head"), "{error}");
    assert!(checkpoints.load().unwrap().is_none());
}

#[derive(Module, Debug)]
struct Mixed {
    none: Param<Tensor<2>>,
    counts: Param<Tensor<1, Int>>,
    mask: Param<Tensor<1, Bool>>,
    layers: Vec<Linear>,
}

impl Mixed {
    fn new(device: &Device, number: i32) -> Mixed {
        let column = LinearConfig::new(3, 2).with_layout(LinearLayout::Col);
        Mixed {
            none: Param::from_data(TensorData::new(Vec::<f32>::new(), [0, 3]), device),
            counts: Param::initialized(ParamId::new(), Tensor::from_data([number, 2], device)),
            mask: Param::initialized(ParamId::new(), Tensor::from_data([number > 0, true, false], device)),
            layers: vec![column.init(device), LinearConfig::new(2, 1).init(device)],
        }
    }
}

#[test]
fn a_module_of_every_kind_of_tensor_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let device = Device::default();
    let module = Mixed::new(&device, 1);
    let loaded = saved_and_loaded(directory.path(), Record::of_module(&module));
    let loaded = loaded.load_module(Mixed::new(&device, 0)).unwrap();
    let bytes = |module: &Mixed| Record::of_module(module).into_bytes().unwrap().to_vec();
    assert_eq!(bytes(&loaded), bytes(&module));

    // burn's own limit: the first layer lies in memory as the transpose of its record.
    let error = Record::of_module(&module).load_module(loaded).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert!(error.to_string().contains("layers.0.weight"), "{error}");
}

#[test]
fn tensors_that_do_not_fit_the_module_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let loaded = saved_and_loaded(directory.path(), Record::of_module(&linear(2, 1)));
    let refused = |module: Linear| loaded.clone().load_module(module).unwrap_err();

    let error = refused(linear(2, 3));
    assert_eq!(
        error.to_string(),
        "the record does not fit the module, and was not loaded: `bias` has the shape [1] in the record, [3] in the \
         program; `weight` has the shape [2, 1] in the record, [2, 3] in the program; build the module as the \
         program did that saved"
    );
    let Error::DoNotFit { misfits, .. } = error else { unreachable!() };
    assert_eq!(misfits[0].problem, Problem::Shape { record: vec![1], program: vec![3] });

    let without = LinearConfig::new(2, 1).with_bias(false).init(&Device::default());
    let error = refused(without.clone()).to_string();
    assert!(error.contains("`bias` is in the record, and has no place in the program"), "{error}");
    let of_f64 = Record::from_bytes(pack("weight", DType::F64, &[2, 1], vec![0; 16])).unwrap();
    let error = of_f64.load_module(without).unwrap_err().to_string();
    assert!(error.contains("`weight` is F64 in the record, F32 in the program"), "{error}");
    let device = Device::default();
    let error = loaded.clone().load_module(Mixed::new(&device, 1)).unwrap_err().to_string();
    assert!(error.contains("`counts` is in the program, and not in the record"), "{error}");
    assert!(error.contains("; and 4 more; "), "{error}");
}

#[test]
fn an_optimizer_goes_on_with_its_moments() {
    let directory = tempfile::tempdir().unwrap();
    let (mut model, mut optimizer) = (linear(2, 1), AdamWConfig::new().init());
    for _ in 0..3 {
        model = learn(model, &mut optimizer);
    }
    let at = |name| directory.path().join(name);
    let saved = saved_and_loaded(&at("model"), Record::of_module(&model));
    let moments = saved_and_loaded(&at("optimizer"), Record::of_optimizer(&optimizer));

    // As in another process: with other numbers, and an optimizer before its first step.
    let mut loaded = saved.clone().load_module(linear(2, 1)).unwrap();
    let mut other = moments.clone().load_optimizer(AdamWConfig::new().init(), &loaded).unwrap();
    let mut without_moments = saved.load_module(linear(2, 1)).unwrap();
    for _ in 0..3 {
        model = learn(model, &mut optimizer);
        loaded = learn(loaded, &mut other);
        assert_eq!(values(&loaded), values(&model));
        without_moments = learn(without_moments, &mut AdamWConfig::new().init());
    }
    assert_ne!(values(&without_moments), values(&model));

    let error = moments.clone().load_optimizer(AdamWConfig::new().init(), &linear(2, 1)).err().unwrap();
    assert!(matches!(&error, Error::OtherParameters { parameters } if parameters.len() == 2), "{error:?}");
    assert!(error.to_string().contains("load the record of the module first"), "{error}");
    let error = moments.load_optimizer(SgdConfig::new().init(), &loaded).err().unwrap().to_string();
    assert!(error.starts_with("the record does not fit the optimizer, and was not loaded: `"), "{error}");
}

#[test]
fn a_forged_record_of_an_optimizer_is_refused() {
    let (mut model, mut optimizer) = (linear(2, 1), AdamWConfig::new().init());
    model = learn(model, &mut optimizer);
    let packed = Record::of_optimizer(&optimizer).into_bytes().unwrap();
    let forge = |change: &dyn Fn(&mut burn_pack::Tensor), rank: u64| {
        let reader = Reader::from_bytes(packed.clone()).unwrap();
        let scalars = reader.scalars().clone();
        let mut tensors = reader.into_tensors().unwrap();
        change(&mut tensors[0]);
        let mut writer = Writer::new(tensors);
        for (name, scalar) in scalars {
            let is_rank = name.ends_with(".__rank");
            writer = writer.with_scalar(&name, if is_rank { rank.into() } else { scalar });
        }
        let record = Record::from_bytes(writer.into_bytes().unwrap()).unwrap();
        record.load_optimizer(AdamWConfig::new().init(), &model).err().unwrap().to_string()
    };
    let error = forge(&|tensor| tensor.param_id = None, 1);
    assert!(error.contains("belongs to no parameter"), "{error}");
    let error = forge(&|_| {}, 1000);
    assert!(error.contains("burn panicked"), "{error}");
    assert!(Record::from_bytes(Bytes::from_bytes_vec(vec![1, 2, 3])).is_err());
}

#[test]
fn the_record_of_a_scheduler_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let config = CosineAnnealingLrSchedulerConfig::new(0.1, 50);
    let mut scheduler = config.init().unwrap();
    for _ in 0..7 {
        scheduler.step();
    }
    let packed = |scheduler: &ModuleLrScheduler| scheduler.to_record().into_bytes().unwrap();
    let loaded = saved_and_loaded(directory.path(), Record::from_bytes(packed(&scheduler)).unwrap());
    let loaded = LrSchedulerRecord::from_bytes(loaded.into_bytes().unwrap()).unwrap();
    let mut other = config.init().unwrap().load_record(loaded);
    scheduler.step();
    other.step();
    assert_eq!(&packed(&other)[..], &packed(&scheduler)[..]);
    assert_ne!(&packed(&other)[..], &packed(&config.init().unwrap())[..]);
}
