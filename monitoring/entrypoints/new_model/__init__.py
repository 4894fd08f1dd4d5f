"""`bellwether new-model`: a folder that is a working model, to be edited into somebody's own."""
