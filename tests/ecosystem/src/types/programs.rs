//! Parts of whole programs: solvers and their states, worlds of physics, plug-ins, tensors.

use serde::{Deserialize, Serialize};

use crate::row::Trial;
use crate::same::{debug, eq, json};

/// Declared as in a program with plug-ins.
#[typetag::serde]
pub trait Force: std::fmt::Debug {
    fn at(&self, position: f64) -> f64;
}

#[derive(Debug, Serialize, Deserialize)]
struct Spring {
    stiffness: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Noise(u32);

#[typetag::serde]
impl Force for Spring {
    fn at(&self, position: f64) -> f64 {
        -self.stiffness * position
    }
}

#[typetag::serde]
impl Force for Noise {
    fn at(&self, position: f64) -> f64 {
        position * f64::from(self.0)
    }
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use argmin::core::{IterState, PopulationState};
        use argmin::solver::linesearch::MoreThuenteLineSearch;
        use argmin::solver::neldermead::NelderMead;
        use argmin::solver::particleswarm::{Particle, ParticleSwarm};
        use argmin::solver::quasinewton::LBFGS;
        use argmin::solver::simulatedannealing::SimulatedAnnealing;
        use rand_xoshiro_07::Xoshiro256PlusPlus;
        use rand_xoshiro_07::rand_core::SeedableRng;
        type P = Vec<f64>;
        let state = || {
            use argmin::core::State as _;
            let state = IterState::<P, P, (), Vec<P>, (), f64>::new().param(vec![0.5, 1.5]);
            state.gradient(vec![-1.0, 2.0]).cost(7.5).max_iters(90)
        };
        rows! { trials, "argmin":
            iter_state: [IterState<P, P, (), Vec<P>, (), f64>] json => [state()];
            iter_state_without_gradient: [IterState<P, (), (), (), (), f64>] json => [{
                use argmin::core::State as _;
                IterState::new()
            }];
            population_state_particle_p: [PopulationState<Particle<P, f64>, f64>] json => [{
                use argmin::core::State as _;
                PopulationState::new().individual(Particle::new(vec![0.5], 1.5, vec![2.5]))
            }];
            nelder_mead_p_f64: [NelderMead<P, f64>] json => [
                NelderMead::new(vec![vec![0.5, 1.5], vec![1.0, 0.0], vec![0.0, 1.0]]),
            ];
            lbfgs: [LBFGS<MoreThuenteLineSearch<P, P, f64>, P, P, f64>] json => [
                LBFGS::new(MoreThuenteLineSearch::new(), 7),
            ];
            particle_swarm_p_f64: [ParticleSwarm<P, f64, Xoshiro256PlusPlus>] json => [
                ParticleSwarm::new((vec![-1.0], vec![1.0]), 40)
                    .with_rng_generator(SeedableRng::seed_from_u64(7)),
            ];
            simulated_annealing: [SimulatedAnnealing<f64, Xoshiro256PlusPlus>] json => [
                SimulatedAnnealing::new_with_rng(15.0, SeedableRng::seed_from_u64(7)).unwrap(),
            ];
        }
    }
    {
        use rapier3d::prelude::{
            ColliderBuilder, ColliderSet, ImpulseJointSet, IntegrationParameters, IslandManager,
            RigidBodyBuilder, RigidBodySet,
        };
        let world = || {
            let (mut bodies, mut colliders) = (RigidBodySet::new(), ColliderSet::new());
            let body = bodies.insert(RigidBodyBuilder::dynamic().translation([0.0, 10.0, 0.0].into()));
            colliders.insert_with_parent(ColliderBuilder::ball(0.5).restitution(0.7), body, &mut bodies);
            colliders.insert(ColliderBuilder::cuboid(100.0, 0.1, 100.0));
            (bodies, colliders)
        };
        rows! { trials, "rapier3d":
            rigid_body_set: [RigidBodySet] json => [world().0, RigidBodySet::new()];
            collider_set: [ColliderSet] json => [world().1, ColliderSet::new()];
            impulse_joint_set: [ImpulseJointSet] json => [ImpulseJointSet::new()];
            island_manager: [IslandManager] json => [IslandManager::new()];
            integration_parameters: [IntegrationParameters] json => [
                IntegrationParameters::default(),
            ];
        }
    }
    {
        rows! { trials, "typetag":
            box_force: [Box<dyn Force>] debug => [
                Box::new(Spring { stiffness: 0.5 }),
                Box::new(Noise(7)),
            ];
        }
    }
    {
        use safetensors::tensor::{Dtype, Metadata, TensorInfo};
        let info = || TensorInfo { dtype: Dtype::F32, shape: vec![2, 3], data_offsets: (0, 24) };
        rows! { trials, "safetensors":
            tensor_info: [TensorInfo] debug => [info()];
            dtype: [Dtype] eq => [Dtype::F32, Dtype::BF16];
            tensors: [Tensors] eq => [Tensors(serialized())];
        }
        rows_apart! { trials, "safetensors":
            metadata: [Metadata] debug => [
                Metadata::new(None, vec![("weights".to_owned(), info())]).unwrap(),
            ];
        }
        rows! { trials, "safetensors":
            #[serde(with = "checkpointed::self_describing")]
            metadata: [Metadata] debug => [
                Metadata::new(None, vec![("weights".to_owned(), info())]).unwrap(),
            ];
        }
    }
    trials
}

/// Tensors of a program with safetensors, for example with candle: the bytes of one of its files.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Tensors(Vec<u8>);

fn serialized() -> Vec<u8> {
    let data: Vec<u8> = [0.5_f32, 1.5, 2.5, -1.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 2], &data).unwrap();
    safetensors::serialize([("weights", view)], None).unwrap()
}
