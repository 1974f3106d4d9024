"""One ServerApp and one ClientApp, run by interchangeable engines."""
