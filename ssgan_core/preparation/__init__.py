"""Photos become a data set: detection, landmarks, crop, camera, masks, then `prepare.prepare` runs it all."""
