"""The program that reads HDF5 files: apart, so that its process loads h5py and little else."""
