"""What is in a file, on one clock: streams, sound, pictures, speech, words, speakers, faces."""
