//! Vectors, matrices and rotations.

use crate::row::Trial;
use crate::same::{debug, eq};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use nalgebra::{DMatrix, DVector, Isometry3, Matrix4, Point2, Rotation2, UnitQuaternion, Vector3};
        rows! { trials, "nalgebra":
            vector3_f64: [Vector3<f64>] eq => [Vector3::new(1.5, -0.0, f64::MAX), Vector3::zeros()];
            vec_vector3_f64: [Vec<Vector3<f64>>] eq => [
                vec![Vector3::new(1.5, -2.0, 3.0); 5],
                Vec::new(),
            ];
            point2_i32: [Point2<i32>] eq => [Point2::new(-3, 4)];
            matrix4_f32: [Matrix4<f32>] eq => [
                Matrix4::from_fn(|row, column| (row * 4 + column) as f32),
            ];
            dvector_f64: [DVector<f64>] eq => [
                DVector::from_fn(9, |row, _| row as f64),
                DVector::zeros(0),
            ];
            dmatrix_f64: [DMatrix<f64>] eq => [
                DMatrix::from_fn(3, 2, |row, column| (row * 10 + column) as f64),
                DMatrix::zeros(0, 4),
            ];
            dmatrix_complex_f32: [DMatrix<nalgebra::Complex<f32>>] eq => [
                DMatrix::from_fn(2, 3, |row, column| nalgebra::Complex::new(row as f32, column as f32)),
            ];
            unit_quaternion_f64: [UnitQuaternion<f64>] eq => [
                UnitQuaternion::from_euler_angles(0.1, 0.2, 0.3),
            ];
            rotation2_f64: [Rotation2<f64>] eq => [Rotation2::new(0.5)];
            isometry3_f64: [Isometry3<f64>] eq => [Isometry3::translation(1.0, 2.0, 3.0)];
        }
    }
    {
        use nalgebra_sparse::{CooMatrix, CscMatrix, CsrMatrix};
        let coordinates = || {
            CooMatrix::try_from_triplets(3, 4, vec![0, 1, 2], vec![3, 0, 2], vec![1.0, -2.0, 3.5]).unwrap()
        };
        rows! { trials, "nalgebra-sparse":
            coo_matrix_f64: [CooMatrix<f64>] eq => [coordinates(), CooMatrix::new(0, 0)];
            csr_matrix_f64: [CsrMatrix<f64>] eq => [
                CsrMatrix::from(&coordinates()),
                CsrMatrix::zeros(2, 2),
            ];
            csc_matrix_f64: [CscMatrix<f64>] eq => [
                CscMatrix::from(&coordinates()),
                CscMatrix::zeros(2, 2),
            ];
        }
    }
    {
        use ndarray::{ArcArray2, Array1, Array2, Array3, ArrayD, IxDyn};
        rows! { trials, "ndarray":
            array1_f64: [Array1<f64>] eq => [
                Array1::from_iter((0..9).map(f64::from)),
                Array1::zeros(0),
            ];
            array2_f32: [Array2<f32>] eq => [
                Array2::from_shape_fn((3, 2), |(row, column)| (row * 10 + column) as f32),
            ];
            array2_f64: [Array2<f64>] eq => [
                Array2::from_shape_fn((3, 2), |(row, column)| (row * 10 + column) as f64).reversed_axes(),
            ];
            array3_u8: [Array3<u8>] eq => [
                Array3::from_shape_fn((2, 3, 4), |(a, b, c)| (a * 12 + b * 4 + c) as u8),
            ];
            arrayd_i64: [ArrayD<i64>] eq => [
                ArrayD::from_shape_fn(IxDyn(&[2, 1, 3]), |index| index[2] as i64),
                ArrayD::zeros(IxDyn(&[])),
            ];
            arc_array2_f64: [ArcArray2<f64>] eq => [
                ArcArray2::from_shape_fn((3, 2), |(row, column)| (row * 10 + column) as f64),
            ];
            array1_string: [Array1<String>] eq => [
                Array1::from(vec!["a".to_owned(), String::new()]),
            ];
        }
    }
    {
        use glam::{DAffine3, DVec3, IVec2, Mat4, Quat, Vec3, Vec3A};
        rows! { trials, "glam":
            vec3: [Vec3] eq => [Vec3::new(1.5, -2.0, f32::MIN_POSITIVE), Vec3::ZERO];
            vec_vec3: [Vec<Vec3>] eq => [vec![Vec3::new(1.5, -2.0, 3.0); 5], Vec::new()];
            vec3_a: [Vec3A] eq => [Vec3A::new(1.5, -2.0, 3.0)];
            dvec3: [DVec3] eq => [DVec3::new(1.5, -2.0, f64::MAX)];
            ivec2: [IVec2] eq => [IVec2::new(i32::MIN, i32::MAX)];
            mat4: [Mat4] eq => [Mat4::from_rotation_x(0.5)];
            quat: [Quat] eq => [Quat::from_rotation_y(0.5)];
            daffine3: [DAffine3] eq => [DAffine3::from_translation(DVec3::new(1.0, 2.0, 3.0))];
        }
    }
    {
        use sprs::{CsMat, CsVec, TriMat};
        let triplets = || {
            let mut triplets = TriMat::new((4, 4));
            triplets.add_triplet(0, 3, 1.5);
            triplets.add_triplet(2, 1, -2.0);
            triplets
        };
        rows! { trials, "sprs":
            cs_vec_f64: [CsVec<f64>] eq => [
                CsVec::new(8, vec![1, 5], vec![0.5, -1.5]),
                CsVec::empty(3),
            ];
            cs_mat_f64: [CsMat<f64>] eq => [
                triplets().to_csr(),
                triplets().to_csc(),
                CsMat::zero((2, 3)),
            ];
        }
    }
    {
        use cgmath::{Deg, Matrix3, Quaternion, Vector3};
        rows! { trials, "cgmath":
            vector3_f64: [Vector3<f64>] eq => [Vector3::new(1.0, 2.0, 3.0)];
            matrix3_f32: [Matrix3<f32>] eq => [
                Matrix3::new(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
            ];
            quaternion_f64: [Quaternion<f64>] eq => [Quaternion::new(1.0, 2.0, 3.0, 4.0)];
            deg_f64: [Deg<f64>] eq => [Deg(90.0)];
        }
    }
    {
        use euclid::{Transform3D, UnknownUnit, Vector2D};
        rows! { trials, "euclid":
            vector2: [Vector2D<f64, UnknownUnit>] eq => [Vector2D::new(1.0, -2.0)];
            transform3: [Transform3D<f64, UnknownUnit, UnknownUnit>] eq => [
                Transform3D::translation(1.0, 2.0, 3.0),
            ];
        }
    }
    {
        use geo_types::{Geometry, LineString, MultiPolygon, Point, polygon};
        let square = || polygon![(x: 0.0, y: 0.0), (x: 1.0, y: 0.0), (x: 1.0, y: 1.0)];
        rows! { trials, "geo-types":
            point_f64: [Point<f64>] eq => [Point::new(13.4, 52.5)];
            line_string_f64: [LineString<f64>] eq => [
                LineString::from(vec![(0.0, 1.0), (2.0, 3.0)]),
                LineString::new(Vec::new()),
            ];
            multi_polygon_f64: [MultiPolygon<f64>] eq => [
                MultiPolygon::new(vec![square(), square()]),
            ];
            geometry_f64: [Geometry<f64>] eq => [
                Geometry::Polygon(square()),
                Geometry::Point(Point::new(1.0, 2.0)),
            ];
        }
    }
    {
        use rstar::{AABB, RTree};
        rows! { trials, "rstar":
            rtree_f64_2: [RTree<[f64; 2]>] debug => [
                RTree::bulk_load((0..30).map(|n| [f64::from(n), f64::from(n * n)]).collect()),
                RTree::new(),
            ];
            aabb_f64_3: [AABB<[f64; 3]>] eq => [AABB::from_corners([0.0; 3], [1.0, 2.0, 3.0])];
        }
    }
    {
        use palette::{Hsv, LinSrgba, Srgb};
        rows! { trials, "palette":
            srgb_f32: [Srgb<f32>] eq => [Srgb::new(0.25, 0.5, 0.75)];
            srgb_u8: [Srgb<u8>] eq => [Srgb::new(1, 2, 255)];
            hsv: [Hsv] eq => [Hsv::new(120.0, 0.5, 0.75)];
        }
        rows_apart! { trials, "palette":
            lin_srgba_f64: [LinSrgba<f64>] eq => [LinSrgba::new(0.25, 0.5, 0.75, 1.0)];
        }
        rows! { trials, "palette":
            #[serde(with = "checkpointed::self_describing")]
            lin_srgba_f64: [LinSrgba<f64>] eq => [LinSrgba::new(0.25, 0.5, 0.75, 1.0)];
        }
    }
    {
        use rgb::{RGB8, Rgba};
        rows! { trials, "rgb":
            rgb8: [RGB8] eq => [RGB8::new(1, 2, 255)];
            vec_rgba_u16: [Vec<Rgba<u16>>] eq => [vec![Rgba { r: 1, g: 2, b: 3, a: u16::MAX }; 4]];
        }
    }
    trials
}
